"""What the configuration file declares, made true in the store: rows come, change and go with the file.

A declared row wins over one made by the house of the same name; the first is marked, and removed once the file no
longer declares it. Nothing else is ever removed here: an account that is declared no more stays, with what the house
made for it, and without its domains.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Table

from pbxd.config.accounts import (
    AccountSections,
    DeviceOptions,
    Phone,
    Route,
    Trunk,
    TrunkOptions,
    UserOptions,
)
from pbxd.config.destinations import Extension as DeclaredExtension
from pbxd.config.destinations import Listening
from pbxd.config.schema import Config
from pbxd.config.sound import codecs_named, srtp_mode
from pbxd.config.values import NumberRange
from pbxd.directory.model import DeclaredSound, ExtensionKind, OwnSound, TrunkRegister, login_domain
from pbxd.directory.passwords import credentials
from pbxd.directory.reading import plain
from pbxd.directory.snapshot import Row, Rows
from pbxd.ids import new_id
from pbxd.store import Store
from pbxd.store.queue import Write
from pbxd.store.schema import METADATA

log = logging.getLogger(__name__)

Wanted = Mapping[Any, dict[str, Any]]  # the columns of each wanted row by its natural key
TABLES = (
    "accounts",
    "domains",
    "users",
    "devices",
    "extensions",
    "trunks",
    "routes",
    "numbers",
    "schedules",
    "ring_groups",
    "queues",
    "call_limits",
    "mailbox_rules",
)
PREFIXES = {
    "accounts": "acc",
    "domains": "dom",
    "users": "usr",
    "devices": "dev",
    "extensions": "ext",
    "trunks": "trk",
    "routes": "rte",
    "keys": "key",
    "numbers": "did",
    "schedules": "sch",
    "ring_groups": "rgp",
    "queues": "q",
    "call_limits": "lim",
    "mailbox_rules": "mbr",
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """One account, as the file declares it."""

    slug: str
    name: str
    realm: str
    domains: tuple[str, ...]
    timezone: str | None
    sections: AccountSections

    @property
    def domain(self) -> str:
        return login_domain(self.realm, self.domains)


def declarations(config: Config) -> list[Declaration]:
    """The default account first."""
    own = config.account
    found = [Declaration(own.slug, own.name, own.realm, own.domains, own.timezone, config)]
    for slug, said in config.accounts.items():
        realm = said.realm or next(iter(said.domains), slug)
        found.append(Declaration(slug, said.name or slug, realm, said.domains, said.timezone, said))
    return found


@dataclass(slots=True)
class Changes:
    """The writes that make the declared rows of one account true, in an order that foreign keys allow."""

    store: Store
    wall: float
    saves: list[Write] = field(default_factory=list)
    removals: list[Write] = field(default_factory=list)

    @property
    def writes(self) -> list[Write]:
        """Removals first, the last table's before the first's, so that a name is free before it is given anew."""
        return [*reversed(self.removals), *self.saves]

    def match(self, name: str, rows: list[Row], key: str, wanted: Wanted, *, marked: bool = True) -> dict[Any, str]:
        """Make the table `name` hold `wanted`, by the column `key`, among `rows`. Gives the id of each wanted row."""
        table = METADATA.tables[name]
        found = {row[key]: row for row in rows}
        ids: dict[Any, str] = {}
        for value, columns in wanted.items():
            own = {**columns, key: value} | ({"declared": True} if marked else {})
            ids[value] = self._save(table, found.get(value), own)
        for value, row in found.items():
            if value not in wanted and (not marked or row["declared"]):
                self.removals.append((self.store.delete_by_id(table), {"key": row["id"]}))
        return ids

    def _save(self, table: Table, row: Row | None, columns: dict[str, Any]) -> str:
        revised = "revision" in table.c
        if row is None:
            row = {"id": new_id(PREFIXES[table.name], self.wall), "created_at": self.wall}
            row |= {"revision": 0} if revised else {}
        elif all(row[column] == value for column, value in columns.items()):
            return str(row["id"])
        revision = {"revision": row["revision"] + 1, "updated_at": self.wall} if revised else {}
        self.saves.append((self.store.upsert(table), {**row, **columns, **revision}))
        return str(row["id"])


def declare(config: Config, rows: Rows, store: Store, wall: float) -> tuple[dict[str, str], list[Write]]:
    """The ids of the declared accounts by their short names, the default one first, and the writes that make what
    `config` declares true. `rows` are the store's."""
    changes = Changes(store, wall)
    declared = declarations(config)
    slugs = {declaration.slug for declaration in declared}
    gone = [row for row in rows["accounts"] if row["declared"] and row["slug"] not in slugs]
    for row in gone:
        empty = Declaration(row["slug"], row["name"], row["realm"], (), row["timezone"], AccountSections())
        _account(empty, rows, changes, declared=False)
    ids = {declaration.slug: _account(declaration, rows, changes) for declaration in declared}
    return ids, changes.writes


def _account(account: Declaration, rows: Rows, changes: Changes, *, declared: bool = True) -> str:
    row = [row for row in rows["accounts"] if row["slug"] == account.slug]
    said = {"name": account.name, "realm": account.realm, "timezone": account.timezone}
    known: Wanted = {account.slug: {**said, "carrier": account.sections.carrier, "declared": declared}}
    account_id = changes.match("accounts", row, "slug", known, marked=False)[account.slug]
    own = {name: [row for row in rows[name] if row["account_id"] == account_id] for name in TABLES[1:]}
    domains: Wanted = {host: {"account_id": account_id} for host in account.domains}
    hosts = [row for row in rows["domains"] if row["account_id"] == account_id or row["host"] in domains]
    changes.match("domains", hosts, "host", domains, marked=False)
    _phones(account, account_id, own, changes)
    _providers(account.sections, account_id, own, changes)
    _furniture(account.sections, account_id, own, rows, changes)
    return account_id


def _phones(account: Declaration, account_id: str, own: dict[str, list[Row]], changes: Changes) -> None:
    phones = account.sections.phones
    users: Wanted = {
        number: {
            "account_id": account_id,
            "display_name": phone.name or number,
            "options": plain(phone.model_dump(mode="json", include=set(UserOptions.model_fields), exclude_none=True)),
        }
        for number, phone in phones.items()
    }
    ids = changes.match("users", own["users"], "name", users)
    devices: dict[Any, dict[str, Any]] = {}
    extensions: dict[Any, dict[str, Any]] = {}
    for number, phone in phones.items():
        secrets = credentials(number, account.realm, account.domain, phone.password.get_secret_value())
        said = phone.model_dump(mode="json", include=set(DeviceOptions.model_fields), exclude_defaults=True)
        devices[number] = {"account_id": account_id, "user_id": ids[number], "options": plain(said), **secrets}
        extensions[number] = _extension(account_id, ExtensionKind.USER, ids[number])
    changes.match("devices", own["devices"], "auth_username", devices)
    ids = {row["name"]: row["id"] for row in own["users"] if not row["declared"]} | ids
    extensions |= _extensions(account.sections, account_id, ids)
    changes.match("extensions", own["extensions"], "number", extensions)


def _extensions(sections: AccountSections, account_id: str, users: Mapping[str, str]) -> dict[Any, dict[str, Any]]:
    extensions: dict[Any, dict[str, Any]] = {}
    for number, extension in sections.extensions.items():
        kind = kind_of(extension)
        if extension.user is None:
            extensions[number] = _extension(account_id, kind, None, options_of(extension))
        elif extension.user in users:
            extensions[number] = _extension(account_id, kind, users[extension.user])
        else:  # a phone of first_start that was not made
            log.warning("the extension %s leads to the user %s, who does not exist", number, extension.user)
    for text, conference in sections.conferences.items():
        room = _extension(account_id, ExtensionKind.CONFERENCE, None, conference.model_dump(mode="json"))
        extensions.update(dict.fromkeys(NumberRange.parse(text).numbers, room))
    return extensions


def kind_of(extension: DeclaredExtension) -> ExtensionKind:
    """What a number leads to."""
    if extension.echo:
        return ExtensionKind.ECHO
    if extension.digits:
        return ExtensionKind.DIGITS
    if extension.play is not None:
        return ExtensionKind.PLAY
    if extension.flow is not None:
        return ExtensionKind.FLOW
    if extension.queue is not None:
        return ExtensionKind.QUEUE
    if extension.operator:
        return ExtensionKind.OPERATOR
    if extension.listen:
        return ExtensionKind.LISTEN
    if extension.fax is not None:
        return ExtensionKind.FAX
    if extension.mailbox is not None:
        return ExtensionKind.VOICEMAIL_LEAVE
    if extension.voicemail is not None:
        own = extension.voicemail is Listening.OWN
        return ExtensionKind.VOICEMAIL_OWN if own else ExtensionKind.VOICEMAIL_ANY
    return ExtensionKind.CALLER if extension.caller else ExtensionKind.USER


def options_of(extension: DeclaredExtension) -> dict[str, str]:
    """What it needs to know for that."""
    mode = extension.fax.mode.value if extension.fax is not None else None
    said = {name: getattr(extension, name) for name in ("play", "mailbox", "flow", "queue")} | {"mode": mode}
    return {name: value for name, value in said.items() if value is not None}


def _extension(
    account_id: str, kind: ExtensionKind, user_id: str | None, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    stored = plain(options or {})
    return {"account_id": account_id, "kind": kind.value, "user_id": user_id, "options": stored}


def _providers(sections: AccountSections, account_id: str, own: dict[str, list[Row]], changes: Changes) -> None:
    trunks: Wanted = {
        name: {"account_id": account_id, **trunk_columns(trunk)} for name, trunk in sections.trunks.items()
    }
    changes.match("trunks", own["trunks"], "name", trunks)
    routes: Wanted = {
        position: {"account_id": account_id, **route_columns(route)} for position, route in enumerate(sections.routes)
    }
    changes.match("routes", own["routes"], "position", routes)


def trunk_columns(trunk: TrunkOptions, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the store keeps of a trunk, with `more` options than these."""
    number = {"cid_number": trunk.cid_number} if trunk.cid_number is not None else {}
    return {
        "proxy": trunk.proxy,
        "sources": plain([str(source) for source in trunk.sources]),
        "from_user": trunk.from_user,
        "max_calls": trunk.max_calls,
        "transit": trunk.transit,
        "options": plain({**number, **(more or {})}),
    }


def route_columns(route: Route) -> dict[str, Any]:
    """And of a route."""
    return {"pattern": route.match, "trunk": route.trunk, "strip": route.strip, "prepend": route.prepend}


def options_text(said: BaseModel, *without: str) -> str:
    """The options of a row: all that its model says, but for what has a column of its own."""
    return plain(said.model_dump(mode="json", by_alias=True, exclude=set(without), exclude_none=True))


def _furniture(
    sections: AccountSections, account_id: str, own: dict[str, list[Row]], rows: Rows, changes: Changes
) -> None:
    """What has a name, and options that only its model reads. A number is one account's alone, and moves with the
    file."""

    def wanted(declared: Mapping[str, BaseModel], *hidden: str) -> Wanted:
        return {
            name: {"account_id": account_id, "options": options_text(one, *hidden)} for name, one in declared.items()
        }

    moved = [row for row in rows["numbers"] if row["number"] in sections.numbers and row["account_id"] != account_id]
    changes.match("numbers", [*own["numbers"], *moved], "number", wanted(sections.numbers))
    changes.match("schedules", own["schedules"], "name", wanted(sections.schedules))
    changes.match("ring_groups", own["ring_groups"], "name", wanted(sections.ring_groups))
    changes.match("queues", own["queues"], "name", wanted(sections.queues))
    changes.match("call_limits", own["call_limits"], "name", wanted(sections.call_limits))
    changes.match("mailbox_rules", own["mailbox_rules"], "number", wanted(sections.mailboxes, "pin"))


def _own_sound(said: Phone | Trunk) -> OwnSound:
    return OwnSound(codecs_named(said.codecs), srtp_mode(said.srtp))


def sound(config: Config, ids: Mapping[str, str]) -> DeclaredSound:
    """The codecs and the SRTP of declared phones and trunks: they go with the file. `ids` are those of the accounts by
    their short names."""
    phones: dict[tuple[str, str], OwnSound] = {}
    trunks: dict[tuple[str, str], OwnSound] = {}
    for account in declarations(config):
        owner = ids[account.slug]
        phones |= {(owner, number): _own_sound(phone) for number, phone in account.sections.phones.items()}
        trunks |= {(owner, name): _own_sound(trunk) for name, trunk in account.sections.trunks.items()}
    return DeclaredSound(phones=phones, trunks=trunks)


def registers(config: Config, ids: Mapping[str, str]) -> dict[tuple[str, str], TrunkRegister]:
    """How the declared trunks register: their passwords are in the file and in memory, nowhere else."""
    return {
        (ids[account.slug], name): TrunkRegister(
            username=register.username,
            password=register.password.get_secret_value(),
            aor=register.aor or register.username,
            expires_s=register.expires_s,
        )
        for account in declarations(config)
        for name, trunk in account.sections.trunks.items()
        if (register := trunk.register_) is not None
    }
