"""What the configuration file declares, made true in the store: rows come, change and go with the file.

A declared row wins over one made by the house of the same name; the first is marked, and removed once the file no
longer declares it. Nothing else is ever removed here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table

from pbxd.config.destinations import Extension as DeclaredExtension
from pbxd.config.destinations import Listening
from pbxd.config.schema import Config, Phone, Trunk
from pbxd.config.sound import codecs_named, srtp_mode
from pbxd.config.values import NumberRange
from pbxd.directory.model import DeclaredSound, ExtensionKind, OwnSound, TrunkRegister
from pbxd.directory.passwords import Hashes
from pbxd.directory.snapshot import Row, Rows
from pbxd.ids import new_id
from pbxd.store import Store
from pbxd.store.queue import Write
from pbxd.store.schema import METADATA

log = logging.getLogger(__name__)

Wanted = Mapping[Any, dict[str, Any]]  # the columns of each wanted row by its natural key
TABLES = ("accounts", "domains", "users", "devices", "extensions", "trunks", "routes")
PREFIXES = {
    "accounts": "acc",
    "domains": "dom",
    "users": "usr",
    "devices": "dev",
    "extensions": "ext",
    "trunks": "trk",
    "routes": "rte",
    "keys": "key",
}


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
        if row is None:
            row = {"id": new_id(PREFIXES[table.name], self.wall), "created_at": self.wall}
        elif all(row[column] == value for column, value in columns.items()):
            return str(row["id"])
        self.saves.append((self.store.upsert(table), {**row, **columns}))
        return str(row["id"])


def declare(config: Config, rows: Rows, store: Store, wall: float) -> tuple[str, list[Write]]:
    """The id of the default account, and the writes that make what `config` declares true. `rows` are the store's."""
    changes = Changes(store, wall)
    account = config.account
    row = [row for row in rows["accounts"] if row["slug"] == account.slug]
    known: Wanted = {account.slug: {"name": account.name, "realm": account.realm}}
    account_id = changes.match("accounts", row, "slug", known, marked=False)[account.slug]
    own = {name: [row for row in rows[name] if row["account_id"] == account_id] for name in TABLES[1:]}
    domains: Wanted = {host: {"account_id": account_id} for host in account.domains}
    hosts = [row for row in rows["domains"] if row["account_id"] == account_id or row["host"] in domains]
    changes.match("domains", hosts, "host", domains, marked=False)
    _phones(config, account_id, own, changes)
    _providers(config, account_id, own, changes)
    return account_id, changes.writes


def _phones(config: Config, account_id: str, own: dict[str, list[Row]], changes: Changes) -> None:
    users: Wanted = {
        number: {"account_id": account_id, "display_name": phone.name or number}
        for number, phone in config.phones.items()
    }
    ids = changes.match("users", own["users"], "name", users)
    devices: dict[Any, dict[str, Any]] = {}
    extensions: dict[Any, dict[str, Any]] = {}
    for number, phone in config.phones.items():
        realm = config.account.realm
        hashes = Hashes.of(number, realm, phone.password.get_secret_value())
        devices[number] = {
            "account_id": account_id,
            "user_id": ids[number],
            "realm": realm,
            "ha1_md5": hashes.md5,
            "ha1_sha256": hashes.sha256,
        }
        extensions[number] = _extension(account_id, ExtensionKind.USER, ids[number])
    changes.match("devices", own["devices"], "auth_username", devices)
    ids = {row["name"]: row["id"] for row in own["users"] if not row["declared"]} | ids
    for number, extension in config.extensions.items():
        kind = _kind(extension)
        if kind is not ExtensionKind.USER:
            extensions[number] = _extension(account_id, kind, None, _options(extension))
        elif extension.user in ids:
            extensions[number] = _extension(account_id, ExtensionKind.USER, ids[extension.user])
        else:  # a phone of first_start that was not made
            log.warning("the extension %s leads to the user %s, who does not exist", number, extension.user)
    for text, conference in config.conferences.items():
        room = _extension(account_id, ExtensionKind.CONFERENCE, None, conference.model_dump(mode="json"))
        extensions.update(dict.fromkeys(NumberRange.parse(text).numbers, room))
    changes.match("extensions", own["extensions"], "number", extensions)


def _kind(extension: DeclaredExtension) -> ExtensionKind:
    if extension.echo:
        return ExtensionKind.ECHO
    if extension.digits:
        return ExtensionKind.DIGITS
    if extension.play is not None:
        return ExtensionKind.PLAY
    if extension.flow is not None:
        return ExtensionKind.FLOW
    if extension.fax is not None:
        return ExtensionKind.FAX
    if extension.mailbox is not None:
        return ExtensionKind.VOICEMAIL_LEAVE
    if extension.voicemail is not None:
        own = extension.voicemail is Listening.OWN
        return ExtensionKind.VOICEMAIL_OWN if own else ExtensionKind.VOICEMAIL_ANY
    return ExtensionKind.CALLER if extension.caller else ExtensionKind.USER


def _options(extension: DeclaredExtension) -> dict[str, str]:
    mode = extension.fax.mode.value if extension.fax is not None else None
    said = {"play": extension.play, "mailbox": extension.mailbox, "flow": extension.flow, "mode": mode}
    return {name: value for name, value in said.items() if value is not None}


def _extension(
    account_id: str, kind: ExtensionKind, user_id: str | None, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    stored = json.dumps(options or {}, sort_keys=True)
    return {"account_id": account_id, "kind": kind.value, "user_id": user_id, "options": stored}


def _providers(config: Config, account_id: str, own: dict[str, list[Row]], changes: Changes) -> None:
    trunks: Wanted = {
        name: {
            "account_id": account_id,
            "proxy": trunk.proxy,
            "sources": json.dumps([str(source) for source in trunk.sources]),
            "from_user": trunk.from_user,
            "max_calls": trunk.max_calls,
            "transit": trunk.transit,
        }
        for name, trunk in config.trunks.items()
    }
    changes.match("trunks", own["trunks"], "name", trunks)
    routes: Wanted = {
        position: {
            "account_id": account_id,
            "pattern": route.match,
            "trunk": route.trunk,
            "strip": route.strip,
            "prepend": route.prepend,
        }
        for position, route in enumerate(config.routes)
    }
    changes.match("routes", own["routes"], "position", routes)


def _own_sound(said: Phone | Trunk) -> OwnSound:
    return OwnSound(codecs_named(said.codecs), srtp_mode(said.srtp))


def sound(config: Config, account_id: str) -> DeclaredSound:
    """The codecs and the SRTP of declared phones and trunks: they go with the file."""
    return DeclaredSound(
        phones={(account_id, number): _own_sound(phone) for number, phone in config.phones.items()},
        trunks={(account_id, name): _own_sound(trunk) for name, trunk in config.trunks.items()},
    )


def registers(config: Config, account_id: str) -> dict[tuple[str, str], TrunkRegister]:
    """How the declared trunks register: their passwords are in the file and in memory, nowhere else."""
    return {
        (account_id, name): TrunkRegister(
            username=register.username,
            password=register.password.get_secret_value(),
            aor=register.aor or register.username,
            expires_s=register.expires_s,
        )
        for name, trunk in config.trunks.items()
        if (register := trunk.register_) is not None
    }
