"""Accounts themselves: made, changed, removed; and written out as one document that another house can read in.

A document holds what the API holds: each kind's things with their fields. Of passwords it has the HA1s, which log a
phone in and are to be kept like the passwords; never a password itself, no key to the API, and no PIN of a mailbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import select

from pbxd.config.section import Host, Label, Name, NameOrNone, Slug, Timezone
from pbxd.directory.administration import Administration, Fields, fields_of, own, problems_in
from pbxd.directory.declared import PREFIXES
from pbxd.directory.model import Account, login_domain
from pbxd.directory.resources import (
    KINDS,
    CallLimitWish,
    ConferenceWish,
    DeviceWish,
    ExtensionWish,
    MailboxWish,
    NumberWish,
    QueueWish,
    RingGroupWish,
    RouteWish,
    ScheduleWish,
    TrunkWish,
    UserWish,
)
from pbxd.errors import Conflict, Invalid
from pbxd.ids import new_id
from pbxd.store.queue import Write
from pbxd.store.schema import METADATA, accounts, domains

FORMAT: Literal["pbxd-account-1"] = "pbxd-account-1"
MOST = 10_000  # of one kind
_HASHES = ("domain", "ha1_md5", "ha1_sha256", "ha1b_md5", "ha1b_sha256")

Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AccountWish(BaseModel):
    """A tenant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: Slug = Field(description="its short name")
    name: Label = Field(default="", description="its name for people; empty is its short name")
    realm: Name | None = Field(default=None, description="digest realm of its phones; null is its first domain")
    domains: tuple[Host, ...] = Field(default=(), max_length=100, description="host names that mean it")
    timezone: Timezone | None = Field(
        default=None, description="whose clock its flows and its nights follow, like Europe/Berlin; null is the house's"
    )
    carrier: NameOrNone | None = Field(
        default=None, description="its trunk that takes numbers no route fits; null: the house's; empty: none"
    )

    @property
    def realm_meant(self) -> str:
        return self.realm or next(iter(self.domains), self.slug)


class DeviceSaved(DeviceWish):
    """A device with what its phone proves itself by."""

    password: None = None
    domain: Host = ""
    ha1_md5: Md5
    ha1_sha256: Sha256
    ha1b_md5: Md5 | Literal[""] = ""
    ha1b_sha256: Sha256 | Literal[""] = ""


def _many() -> Any:
    return Field(default=(), max_length=MOST)


class AccountDocument(BaseModel):
    """An account as one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["pbxd-account-1"]
    account: AccountWish
    users: tuple[UserWish, ...] = _many()
    devices: tuple[DeviceSaved, ...] = _many()
    mailboxes: tuple[MailboxWish, ...] = _many()
    conferences: tuple[ConferenceWish, ...] = _many()
    extensions: tuple[ExtensionWish, ...] = _many()
    schedules: tuple[ScheduleWish, ...] = _many()
    ring_groups: tuple[RingGroupWish, ...] = _many()
    queues: tuple[QueueWish, ...] = _many()
    trunks: tuple[TrunkWish, ...] = _many()
    routes: tuple[RouteWish, ...] = _many()
    numbers: tuple[NumberWish, ...] = _many()
    call_limits: tuple[CallLimitWish, ...] = _many()
    flows: Annotated[dict[str, str], Field(max_length=1_000)] = Field(
        default={}, description="the texts of its call flows, and of its schedules for them, by name"
    )

    @model_validator(mode="after")
    def _once(self) -> Self:
        for word, kind in KINDS.items():
            keys = [getattr(one, kind.key) for one in getattr(self, word)]
            if len(keys) != len(set(keys)):
                raise ValueError(f"{word}: one of them is there twice")
        if {one.number for one in self.conferences} & {one.number for one in self.extensions}:
            raise ValueError("a conference and an extension have the same number")
        return self


class Tenants:
    """All accounts. What the configuration file declares is the file's, and is not changed here."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration
        self._store = administration.store
        self._directory = administration.directory
        self._wall = administration.wall

    async def revisions(self, account_id: str | None = None) -> dict[str, tuple[int, bool]]:
        """Of each account or of this one, by id: its revision, and whether it is declared. Raises StoreError."""
        query = select(accounts.c.id, accounts.c.revision, accounts.c.declared)
        if account_id is not None:
            query = query.where(accounts.c.id == account_id)
        rows = await self._store.rows(query)
        return {row.id: (row.revision, row.declared) for row in rows}

    async def create(self, wish: AccountWish, by: str) -> Account:
        """Raises Conflict where its short name, realm or a domain is taken; StoreError."""
        return await self._make(AccountDocument(format=FORMAT, account=wish), by)

    async def replace(self, account: Account, wish: AccountWish, by: str, seen: int | None) -> Account:
        """Changes name, domains and timezone. Raises Conflict where it is declared, has changed since revision `seen`,
        or a domain is taken; Invalid for another realm, which no stored password would fit; StoreError."""
        async with self._directory.changing():
            row = await self._own(account, seen)
            if (wish.slug, wish.realm_meant) != (account.slug, account.realm):
                raise Invalid("the short name and the realm of an account stay what they are")
            self._free(wish, account)
            wall = self._wall()
            if problems := await self._administration.carrier_problems(account, wish.carrier):
                raise Invalid(problems[0])
            said = {"name": wish.name or wish.slug, "timezone": wish.timezone, "carrier": wish.carrier}
            after = {**row, **said, "revision": row["revision"] + 1, "updated_at": wall}
            old = await self._store.rows(select(domains).where(domains.c.account_id == account.id))
            writes: list[Write] = [(self._store.delete_by_id(domains), {"key": one.id}) for one in old]
            writes += self._domains(account.id, wish)
            writes += [(self._store.upsert(accounts), after)]
            writes += [self._note(account.id, account.slug, by, _plain(account), wish.model_dump(mode="json"))]
            await self._commit(writes)
        await self._administration.changed()
        return self._now(account.id)

    async def remove(self, account: Account, by: str, seen: int | None) -> None:
        """Removes an account with all it has; records of its calls stay. Raises Conflict where it is declared, or has
        changed since revision `seen`; StoreError."""
        async with self._directory.changing():
            await self._own(account, seen)
            removal: Write = (self._store.delete_by_id(accounts), {"key": account.id})
            await self._commit([removal, self._note(account.id, account.slug, by, _plain(account), None)])
        await self._administration.changed()

    async def export(self, account: Account) -> AccountDocument:
        """The account as one document. Raises StoreError."""
        resources = await self._administration.resources(account)
        users = {row["id"]: row["name"] for row in resources["users"].values()}
        said: dict[str, Any] = {}
        for word, kind in KINDS.items():
            rows = resources[word].values()
            said[word] = [fields_of(kind, row, users) for row in rows]
            if word == "devices":
                said[word] = [
                    fields | {name: row[name] for name in _HASHES} for fields, row in zip(said[word], rows, strict=True)
                ]
        return AccountDocument.model_validate({"format": FORMAT, "account": _plain(account), **said})

    async def take_in(self, document: AccountDocument, by: str) -> Account:
        """Makes the account of a document, whole or not at all. Raises Conflict where its short name, realm, a domain
        or a number is taken; Invalid where it does not fit together; StoreError."""
        return await self._make(document, by)

    # ---- inside

    async def _make(self, document: AccountDocument, by: str) -> Account:
        async with self._directory.changing():
            wish, wall = document.account, self._wall()
            self._free(wish, None)
            for number in document.numbers:
                if self._directory.number(number.number) is not None:
                    raise Conflict(f"the number {number.number} cannot be had")
            for trunk in document.trunks:
                self._administration.sources_free(wish.slug, trunk)
            account_id = new_id(PREFIXES["accounts"], wall)
            times = {"revision": 1, "created_at": wall, "updated_at": wall}
            row: dict[str, Any] = {
                "id": account_id,
                "slug": wish.slug,
                "name": wish.name or wish.slug,
                "realm": wish.realm_meant,
            }
            row |= {"timezone": wish.timezone, "carrier": wish.carrier, "declared": False, **times}
            writes: list[Write] = [(self._store.upsert(accounts), row)]
            writes += self._domains(account_id, wish)
            writes += self._contents(document, account_id, times)
            writes += [self._note(account_id, wish.slug, by, None, wish.model_dump(mode="json"))]
            await self._commit(writes)
        await self._administration.changed()
        return self._now(account_id)

    def _contents(self, document: AccountDocument, account_id: str, times: Mapping[str, Any]) -> list[Write]:
        wall = self._wall()
        resources: dict[str, dict[str, dict[str, Any]]] = {}
        ids: dict[str, str] = {}
        for word, kind in KINDS.items():
            resources[word] = {}
            for wish in getattr(document, word):
                row = {"id": new_id(PREFIXES[kind.table], wall), "account_id": account_id, "declared": False, **times}
                row |= {kind.key: getattr(wish, kind.key), **kind.columns(wish, ids)}
                if isinstance(wish, DeviceSaved):
                    row |= {"realm": document.account.realm_meant, **{name: getattr(wish, name) for name in _HASHES}}
                if word == "users":
                    ids[wish.name] = row["id"]
                resources[word][row["id"]] = row
        names = {user_id: name for name, user_id in ids.items()}
        if problems := problems_in(resources, names, document.account.carrier):
            raise Invalid("; ".join(problems[:10]))
        return [
            (self._store.upsert(METADATA.tables[KINDS[word].table]), row)
            for word, rows in resources.items()
            for row in rows.values()
        ]

    def _domains(self, account_id: str, wish: AccountWish) -> list[Write]:
        wall = self._wall()
        return [
            (
                self._store.upsert(domains),
                {"id": new_id(PREFIXES["domains"], wall), "account_id": account_id, "host": host, "created_at": wall},
            )
            for host in dict.fromkeys(wish.domains)
        ]

    def _free(self, wish: AccountWish, own: Account | None) -> None:
        for other in self._directory.accounts():
            if own is not None and other.id == own.id:
                continue
            if wish.slug in (other.slug, other.id):
                raise Conflict(f"the short name {wish.slug} is that of another account")
            if wish.realm_meant == other.realm:
                raise Conflict(f"the realm {wish.realm_meant} is that of another account ({other.slug})")
            if taken := sorted(other.domains & set(wish.domains)):
                raise Conflict(f"the domain {taken[0]} is that of another account")

    async def _own(self, account: Account, seen: int | None) -> dict[str, Any]:
        (row,) = [row._asdict() for row in await self._store.rows(select(accounts).where(accounts.c.id == account.id))]
        return own("account", row, seen)

    async def _commit(self, writes: list[Write]) -> None:
        await self._store.commit(writes)
        await self._directory.refresh()

    def _now(self, account_id: str) -> Account:
        account = self._directory.account(account_id)
        assert account is not None  # noqa: S101 - it was written and read again
        return account

    def _note(self, account_id: str, slug: str, by: str, before: Fields, after: Fields) -> Write:
        return self._administration.note(account_id, ("account", account_id, slug), by, before, after)


def _plain(account: Account) -> dict[str, Any]:
    first = login_domain(account.realm, account.domains)
    hosts = sorted(account.domains, key=lambda host: (host != first, host))
    said = {"slug": account.slug, "name": account.name, "realm": account.realm}
    return {**said, "domains": hosts, "timezone": account.timezone, "carrier": account.carrier}
