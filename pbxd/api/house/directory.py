"""What an account has, by kind: list, make, change, remove. The operations of all kinds are made of one description."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from pbxd.api.contract import Identity, Revised
from pbxd.api.house.collaborators import House
from pbxd.api.house.operations import HOUSE
from pbxd.api.house.tenancy import AccountQuery, account_of, account_seen, of_the_house
from pbxd.api.house.views import Id, View, Wish, moment
from pbxd.directory.administration import Entry, Stored
from pbxd.directory.resources import KINDS, Kind, shown
from pbxd.errors import Conflict, Denied, HouseError, Invalid, NotFound, Unavailable

Wanted = Annotated[str, Field(min_length=1, max_length=64, description="its id, or its name or number")]
MAX_PAGE = 500


class ThingPath(Wish):
    id: Wanted


class Match(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)

    if_match: str | None = Field(
        None, alias="If-Match", max_length=64, description="the ETag that was seen: 409 where it has changed since"
    )

    @property
    def revision(self) -> int | None:
        """Raises Invalid."""
        if self.if_match is None or self.if_match.strip() == "*":
            return None
        text = self.if_match.strip().removeprefix("W/").strip('"')
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise Invalid('If-Match is an ETag of ours, such as "3"')
        return int(text)


class ThingView(Revised):
    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    id: str
    declared: bool = Field(description="whether the configuration file declares it, and is its only truth")
    created_at: datetime
    updated_at: datetime


def _shown(model: type[ThingView], stored: Stored) -> ThingView:
    return model.model_validate(
        {
            **shown(stored.fields),
            "id": stored.id,
            "declared": stored.declared,
            "revision": stored.revision,
            "created_at": moment(stored.created_at),
            "updated_at": moment(stored.updated_at),
        }
    )


class Operations:
    """The operations of one kind. `view` is what they say of a thing, `listed` of all."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        name = kind.word.title().replace("_", "")
        fields: Any = {
            word: (
                kind.seen.get(word, field.annotation),
                Field(default=field.get_default(), description=field.description, alias=field.alias),
            )
            for word, field in kind.model.model_fields.items()
            if shown({word: None})
        }
        things: Any = {}
        self.view: type[ThingView] = create_model(f"{name}View", __base__=ThingView, **fields)
        things[kind.word] = (list[self.view], ...)  # type: ignore[name-defined]
        self.listed: type[View] = create_model(f"{name}ListView", __base__=View, **things)

    async def every(self, house: House, query: AccountQuery, identity: Identity) -> View:
        account = account_of(house, identity, query.account)
        found = await house.administration.every(account, self.kind)
        return self.listed.model_validate({self.kind.word: [_shown(self.view, one) for one in found]})

    async def get(self, house: House, path: ThingPath, query: AccountQuery, identity: Identity) -> ThingView:
        account = account_of(house, identity, query.account)
        return _shown(self.view, await house.administration.get(account, self.kind, path.id))

    async def make(self, house: House, query: AccountQuery, body: BaseModel, identity: Identity) -> ThingView:
        account = account_of(house, identity, query.account)
        _keep_within(house, identity, body, {})
        return _shown(self.view, await house.administration.create(account, self.kind, body, identity.name))

    async def put(
        self, house: House, path: ThingPath, query: AccountQuery, headers: Match, body: BaseModel, identity: Identity
    ) -> ThingView:
        account, seen = account_of(house, identity, query.account), headers.revision
        before = await house.administration.get(account, self.kind, path.id)
        _keep_within(house, identity, body, before.fields)
        stored = await house.administration.replace(account, self.kind, path.id, body, identity.name, seen)
        return _shown(self.view, stored)

    async def remove(
        self, house: House, path: ThingPath, query: AccountQuery, headers: Match, identity: Identity
    ) -> ThingView:
        account, seen = account_of(house, identity, query.account), headers.revision
        return _shown(self.view, await house.administration.remove(account, self.kind, path.id, identity.name, seen))

    def declare(self) -> None:
        """Makes them part of the contract."""
        one, path, view = self.kind.one, f"/directory/{self.kind.word}", self.view
        single, article = path + "/{id}", "an" if self.kind.one[0] in "aeiou" else "a"
        faults, changing = (NotFound, Unavailable), (NotFound, Unavailable, Conflict, Denied)
        every = f"list_directory_{self.kind.word}"
        _declare("GET", path, self.every, (every, f"List the {one}s of an account."), self.listed, faults)
        _declare(
            "POST",
            path,
            self.make,
            (f"make_directory_{one}", f"Make {article} {one}."),
            view,
            changing,
            self.kind.model,
        )
        _declare(
            "GET", single, self.get, (f"get_directory_{one}", f"Get {article} {one}, by id or name."), view, faults
        )
        words = f"replace_directory_{one}", f"Replace {article} {one}: what is not said is as by default."
        _declare("PUT", single, self.put, words, view, changing, self.kind.model)
        words = f"remove_directory_{one}", f"Remove {article} {one}; gives what it was."
        _declare("DELETE", single, self.remove, words, view, changing)


_OF_THE_HOUSE: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "sources": ("which addresses are trusted without a password", bool),
    "music": ("which folders beside the account's own are played", lambda folder: "/" in (folder or "")),
}
"""Fields that reach beyond an account, and when: who names addresses takes the calls that come from there."""


def _keep_within(house: House, identity: Identity, body: BaseModel, before: Mapping[str, Any]) -> None:
    """Whether a key may say what it says. Raises Denied."""
    if of_the_house(house, identity):
        return
    said = body.model_dump(mode="json", include=set(_OF_THE_HOUSE))
    for name, (what, beyond) in _OF_THE_HOUSE.items():
        if beyond(said.get(name)) and said[name] != before.get(name):
            raise Denied(f"{name}: {what} is for the house to say, not for a key of one account")


def _declare(
    method: str,
    path: str,
    operation: Callable[..., Awaitable[BaseModel]],
    words: tuple[str, str],
    result: type[BaseModel],
    errors: tuple[type[HouseError], ...],
    body: type[BaseModel] | None = None,
) -> None:
    """Declares a bound method as an operation of its own name, result and body."""
    model = inspect.signature(operation)

    async def handler(house: House, **arguments: Any) -> BaseModel:
        return await operation(house, **arguments)

    hints = get_type_hints(operation) | {"return": result} | ({"body": body} if body is not None else {})
    setattr(handler, "__signature__", model)  # noqa: B010 - what `inspect` looks for
    handler.__annotations__ = hints
    handler.__name__, handler.__doc__ = words[0].replace(" ", "_"), words[1]
    scope = "directory:read" if method == "GET" else "directory:write"
    status = 201 if method == "POST" else 200
    HOUSE.operation(method, path, tag="directory", scope=scope, status=status, errors=errors)(handler)


for _kind in KINDS.values():
    Operations(_kind).declare()


# ---- who changed what


class AuditQuery(AccountQuery):
    limit: int = Field(100, ge=1, le=MAX_PAGE, description="how many at most")
    cursor: Id | None = Field(None, description="`next` of the page before")


class EntryView(View):
    id: str
    account_id: str
    at: datetime
    by: str = Field(description="the name of a key, or `local`")
    action: str = Field(description="made, changed or removed")
    kind: str
    object_id: str
    name: str
    before: dict[str, Any] | None = Field(description="secrets are masked")
    after: dict[str, Any] | None

    @classmethod
    def of(cls, entry: Entry) -> EntryView:
        return cls(
            id=entry.id,
            account_id=entry.account_id,
            at=moment(entry.at),
            by=entry.by,
            action=entry.action,
            kind=entry.kind,
            object_id=entry.object_id,
            name=entry.name,
            before=dict(entry.before) if entry.before is not None else None,
            after=dict(entry.after) if entry.after is not None else None,
        )


class AuditView(View):
    entries: list[EntryView]
    next: str | None = Field(description="the cursor of the next page; null on the last one")


@HOUSE.operation("GET", "/audit", tag="directory", scope="audit:read", errors=(NotFound, Unavailable))
async def list_audit(house: House, query: AuditQuery, identity: Identity) -> AuditView:
    """List who changed what in the directory, newest first.

    Pass `next` as `cursor` to get the page after.
    """
    seen = account_seen(house, identity, query.account)
    found = await house.administration.entries(seen, query.limit, query.cursor)
    more = found[-1].id if len(found) == query.limit else None
    return AuditView(entries=[EntryView.of(entry) for entry in found], next=more)
