"""Changes to the directory by hand: each checked against the rest of its account, against who was faster, and written
down with who made it. What the configuration file declares is the file's, and is not changed here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select

from pbxd.config.relations import account_problems
from pbxd.directory.accounts import Directory
from pbxd.directory.declared import PREFIXES
from pbxd.directory.model import Account
from pbxd.directory.passwords import credentials
from pbxd.directory.reading import as_dicts, plain
from pbxd.directory.registrations import closed_in
from pbxd.directory.resources import CLOSED, KINDS, DeviceWish, Kind, Row, TrunkWish, masked
from pbxd.errors import Conflict, Invalid, NotFound
from pbxd.ids import new_id
from pbxd.store import Store
from pbxd.store.queue import Write
from pbxd.store.schema import METADATA, accounts
from pbxd.store.tenancy import audit

Changed = Callable[[], Awaitable[None]]
Fields = Mapping[str, Any] | None
_NO_PASSWORD = "a device needs a password"  # noqa: S105 - a sentence


@dataclass(frozen=True, slots=True)
class Stored:
    """One thing as it is: `fields` are those of its kind's model. Times are seconds since the epoch."""

    id: str
    kind: str
    key: Any
    fields: Mapping[str, Any]
    declared: bool
    revision: int
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """Who changed what. `before` is None of what was made, `after` of what was removed; secrets are masked."""

    id: str
    account_id: str
    at: float
    by: str
    action: str
    kind: str
    object_id: str
    name: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class Administration:
    """The resources of all accounts. `changed` is told after each change, and may be set later."""

    def __init__(self, store: Store, directory: Directory, wall: Callable[[], float]) -> None:
        self.store = store
        self.wall = wall
        self.directory = directory
        self.changed: Changed = _nobody

    # ---- reading

    async def every(self, account: Account, kind: Kind) -> list[Stored]:
        """All of a kind, by their key. Raises StoreError."""
        users = await self._names(account)
        rows = [row for row in await self._rows(account, kind.table) if kind.belongs(row)]
        return [_stored(kind, row, users) for row in sorted(rows, key=lambda row: _order(row[kind.key]))]

    async def get(self, account: Account, kind: Kind, wanted: str) -> Stored:
        """One by its id or its key. Raises NotFound, StoreError."""
        return _stored(kind, await self._find(account, kind, wanted), await self._names(account))

    async def entries(self, account_id: str | None, limit: int, before: str | None) -> list[Entry]:
        """What was changed, newest first; of one account, or of all. Raises StoreError."""
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if account_id is not None:
            query = query.where(audit.c.account_id == account_id)
        if before is not None:
            query = query.where(audit.c.id < before)
        return [_entry(row._asdict()) for row in await self.store.rows(query)]

    # ---- changing

    async def create(self, account: Account, kind: Kind, wish: BaseModel, by: str) -> Stored:
        """Raises Conflict where there is one of that key, Invalid where it does not fit, StoreError."""
        async with self.directory.changing():
            key = getattr(wish, kind.key)
            await self._free(account, kind, key)
            wall = self.wall()
            made = {"id": new_id(PREFIXES[kind.table], wall), "account_id": account.id, "declared": False}
            row = made | {kind.key: key, "revision": 1, "created_at": wall, "updated_at": wall}
            row |= await self._columns(account, kind, wish, str(row["id"]), None)
            await self._write(account, kind, None, row, by)
        await self.changed()
        return await self.get(account, kind, str(row["id"]))

    async def replace(
        self, account: Account, kind: Kind, wanted: str, wish: BaseModel, by: str, seen: int | None = None
    ) -> Stored:
        """Raises NotFound; Conflict where it is declared, has changed since revision `seen`, or its new key is taken;
        Invalid where it does not fit; StoreError."""
        async with self.directory.changing():
            before = own(kind.one, await self._find(account, kind, wanted), seen)
            key = getattr(wish, kind.key)
            if key != before[kind.key]:
                await self._free(account, kind, key)
            row = {**before, kind.key: key, "revision": before["revision"] + 1, "updated_at": self.wall()}
            row |= await self._columns(account, kind, wish, str(row["id"]), before)
            await self._write(account, kind, before, row, by)
        await self.changed()
        return await self.get(account, kind, str(row["id"]))

    async def remove(self, account: Account, kind: Kind, wanted: str, by: str, seen: int | None = None) -> Stored:
        """Gives what it was. Raises NotFound; Conflict where it is declared, needed, or has changed; StoreError."""
        users = await self._names(account)
        async with self.directory.changing():
            before = own(kind.one, await self._find(account, kind, wanted), seen)
            await self._write(account, kind, before, None, by)
        await self.changed()
        return _stored(kind, before, users)

    # ---- inside

    async def _rows(self, account: Account, table: str) -> list[dict[str, Any]]:
        found = METADATA.tables[table]
        return as_dicts(await self.store.rows(select(found).where(found.c.account_id == account.id)))

    async def _names(self, account: Account) -> dict[str, str]:
        return {row["id"]: row["name"] for row in await self._rows(account, "users")}

    async def _find(self, account: Account, kind: Kind, wanted: str) -> dict[str, Any]:
        for row in await self._rows(account, kind.table):
            if kind.belongs(row) and wanted in (row["id"], str(row[kind.key])):
                return row
        raise NotFound(f"there is no such {kind.one}")

    async def _free(self, account: Account, kind: Kind, key: Any) -> None:
        if any(row[kind.key] == key for row in await self._rows(account, kind.table)):
            raise Conflict(f"the {kind.key} {key} is taken already")
        if kind.word == "numbers" and self.directory.number(key) is not None:
            raise Conflict(f"the number {key} cannot be had")

    async def _columns(
        self, account: Account, kind: Kind, wish: BaseModel, row_id: str, before: Row | None
    ) -> dict[str, Any]:
        users = {name: user_id for user_id, name in (await self._names(account)).items()}
        columns = kind.columns(wish, users)
        if columns.get("user_id") == "":
            raise Invalid(f"user: there is no user {getattr(wish, 'user', '')}")
        if isinstance(wish, DeviceWish):
            columns |= self._credentials(account, wish, before)
        if isinstance(wish, TrunkWish):
            self.sources_free(account.slug, wish)
            closed = closed_in(self.directory.seal, row_id, wish, before)
            options = json.loads(columns["options"])
            if closed is not None:
                columns["options"] = plain({**options, "register": {**options["register"], CLOSED: closed}})
        return columns

    def _credentials(self, account: Account, wish: DeviceWish, before: Row | None) -> dict[str, Any]:
        if wish.password is not None:
            secret = wish.password.get_secret_value()
            return credentials(wish.auth_username, account.realm, account.domain, secret)
        if before is None or wish.auth_username != before["auth_username"]:
            raise Invalid(_NO_PASSWORD + ": it is bound to what the phone logs in as")
        return {}

    def sources_free(self, slug: str, wish: TrunkWish) -> None:
        """Whether a trunk can be called, or calls from addresses of its own. Raises Invalid, Conflict."""
        if wish.objection is not None:
            raise Invalid(wish.objection)
        for trunk in self.directory.all_trunks():
            same = trunk.from_user == wish.from_user and set(trunk.sources) & set(wish.sources)
            owner = self.directory.account(trunk.account_id)
            if same and (owner.slug if owner else "", trunk.name) != (slug, wish.name):
                raise Conflict("calls from these sources already belong to a trunk")

    async def _write(self, account: Account, kind: Kind, before: Row | None, after: Row | None, by: str) -> None:
        """Writes one change and its entry, if the account is as sound after it as it was."""
        was = await self.resources(account)
        await self._sound(account, was, kind, before, after)
        users = await self._names(account)
        row = after or before or {}
        said = [masked(fields_of(kind, one, users)) if one is not None else None for one in (before, after)]
        entry = self.note(account.id, (kind.one, row["id"], str(row[kind.key])), by, *said)
        table = METADATA.tables[kind.table]
        write: Write = (self.store.upsert(table), dict(row))
        if after is None:
            write = (self.store.delete_by_id(table), {"key": row["id"]})
        await self.store.commit([write, entry])
        await self.directory.refresh()

    async def resources(self, account: Account) -> dict[str, dict[str, Row]]:
        """The rows of an account by kind and id."""
        tables = {kind.table: await self._rows(account, kind.table) for kind in KINDS.values()}
        return {
            word: {row["id"]: row for row in tables[kind.table] if kind.belongs(row)} for word, kind in KINDS.items()
        }

    async def carrier_problems(self, account: Account, carrier: str | None) -> list[str]:
        """What is wrong with a default carrier for an account. Raises StoreError."""
        was, users = await self.resources(account), await self._names(account)
        known = problems_in(was, users)
        return [problem for problem in problems_in(was, users, carrier) if problem not in known]

    async def _carrier(self, account: Account) -> str | None:
        found = await self.store.rows(select(accounts.c.carrier).where(accounts.c.id == account.id))
        return found[0].carrier if found else None

    async def _sound(
        self, account: Account, was: dict[str, dict[str, Row]], kind: Kind, before: Row | None, after: Row | None
    ) -> None:
        users = {row["id"]: row["name"] for row in was["users"].values()}
        if after is not None and kind.word == "users":
            users[after["id"]] = after["name"]
        carrier = await self._carrier(account)
        known = await asyncio.to_thread(problems_in, was, users, carrier)
        becomes = {word: dict(rows) for word, rows in was.items()}
        if before is not None:
            del becomes[kind.word][before["id"]]
        if after is not None:
            becomes[kind.word][after["id"]] = after
        found = await asyncio.to_thread(problems_in, becomes, users, carrier)
        fresh = [problem for problem in found if problem not in known]
        if not fresh:
            return
        if after is None:
            raise Conflict(f"it is still needed: {fresh[0]}")
        raise Invalid("; ".join(fresh[:10]))

    def note(self, account_id: str, what: tuple[str, str, str], by: str, before: Fields, after: Fields) -> Write:
        """The entry of a change; `what` are the kind, the id and the name of the thing that `by` has changed."""
        wall = self.wall()
        kind, object_id, name = what
        entry = {
            "id": new_id("aud", wall),
            "account_id": account_id,
            "at": wall,
            "by": by,
            "action": "removed" if after is None else "made" if before is None else "changed",
            "kind": kind,
            "object_id": object_id,
            "name": name,
            "before": json.dumps(before, sort_keys=True) if before is not None else None,
            "after": json.dumps(after, sort_keys=True) if after is not None else None,
        }
        return self.store.upsert(audit), entry


def problems_in(
    resources: Mapping[str, Mapping[str, Row]], users: Mapping[str, str], carrier: str | None = None
) -> list[str]:
    """What is wrong in an account, in the words of the configuration file's own checks. `users` are the names by id,
    also of those that are gone; `carrier` is its default carrier."""
    sections: dict[str, Any] = {
        word: {str(row[kind.key]): fields_of(kind, row, users) for row in resources[word].values()}
        for word, kind in KINDS.items()
    }
    sections["phones"] = sections.pop("users")
    sections["routes"] = list(sections["routes"].values())
    sections["carrier"] = carrier
    phones = sections["phones"]
    sections["extensions"] = {  # a phone under `phones` is its user's extension as well
        number: said
        for number, said in sections["extensions"].items()
        if said.get("user") != number or number not in phones
    }
    found = [f"{'.'.join(map(str, path))}: {message}" for path, message in account_problems(sections)]
    lost = ((name, one["user"]) for name, one in sections["devices"].items() if one["user"] not in phones)
    return [*found, *(f"devices.{name}.user: there is no user {user}" for name, user in lost)]


def fields_of(kind: Kind, row: Row, users: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a row, as its model has them."""
    return {kind.key: row[kind.key], **kind.fields(row, users)}


def _stored(kind: Kind, row: Row, users: Mapping[str, str]) -> Stored:
    return Stored(
        id=row["id"],
        kind=kind.word,
        key=row[kind.key],
        fields=fields_of(kind, row, users),
        declared=row["declared"],
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def own(word: str, row: dict[str, Any], seen: int | None) -> dict[str, Any]:
    """The row, if it may be changed by who saw its revision `seen`. Raises Conflict where it is declared or has
    changed."""
    if row["declared"]:
        raise Conflict(f"the configuration file declares this {word}: change it there, and reload")
    if seen is not None and seen != row["revision"]:
        raise Conflict(f"the {word} has changed since: it is at revision {row['revision']}, not {seen}")
    return row


def _order(key: Any) -> tuple[int, str]:
    text = str(key)
    return len(text) if text.isdecimal() else 100, text


def _entry(row: Mapping[str, Any]) -> Entry:
    parsed = {name: json.loads(row[name]) if row[name] is not None else None for name in ("before", "after")}
    return Entry(**{**row, **parsed})


async def _nobody() -> None:
    """Nobody has to be told."""
