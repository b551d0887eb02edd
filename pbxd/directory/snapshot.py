"""Everything the directory knows, in dictionaries: a call asks them and never the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Self

from pbxd.config.mailboxes import Mailbox
from pbxd.config.section import compile_pattern
from pbxd.directory.model import (
    Account,
    CallLimit,
    DeclaredSound,
    Device,
    Extension,
    ExtensionKind,
    Number,
    OutboundRoute,
    OwnSound,
    QueueSpec,
    RingGroup,
    ScheduleSpec,
    Trunk,
    TrunkRegister,
    User,
)
from pbxd.directory.reading import device_of, limit_of, number_of, queue_of, ring_group_of, schedule_of, user_of
from pbxd.directory.sources import TrustedSources
from pbxd.sip.uri import Uri

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]  # by table name
_NOTHING = OwnSound()


@dataclass(slots=True)
class Snapshot:
    """One state of the directory. Keys are (account id, name); replaced as a whole when the directory is read anew."""

    accounts: dict[str, Account] = field(default_factory=dict)
    hosts: dict[str, Account] = field(default_factory=dict)
    users: dict[tuple[str, str], User] = field(default_factory=dict)
    devices: dict[tuple[str, str], Device] = field(default_factory=dict)
    extensions: dict[tuple[str, str], Extension] = field(default_factory=dict)
    numbers_of: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    trunks: dict[tuple[str, str], Trunk] = field(default_factory=dict)
    routes: dict[str, tuple[OutboundRoute, ...]] = field(default_factory=dict)
    sources: TrustedSources = field(default_factory=lambda: TrustedSources(()))
    proxies: frozenset[str] = frozenset()  # the hosts that trunks are called at
    own_proxies: frozenset[str] = frozenset()  # of these, what the house itself says
    direct: dict[str, Number] = field(default_factory=dict)  # of all accounts, by E.164
    ring_groups: dict[tuple[str, str], RingGroup] = field(default_factory=dict)
    queues: dict[tuple[str, str], QueueSpec] = field(default_factory=dict)
    schedules: dict[tuple[str, str], ScheduleSpec] = field(default_factory=dict)
    codes: dict[str, list[Extension]] = field(default_factory=dict)
    limits: dict[str, tuple[CallLimit, ...]] = field(default_factory=dict)
    mailboxes: dict[tuple[str, str], Mailbox] = field(default_factory=dict)

    @classmethod
    def of(
        cls, rows: Rows, registers: Mapping[tuple[str, str], TrunkRegister], sound: DeclaredSound, default_id: str
    ) -> Self:
        """Build from the rows of the store. `registers` are the credentials of trunks, which the store never has open,
        and `sound` what stands in the file alone; `default_id` is that of the default account."""
        made = cls()
        domains = _grouped(rows["domains"], "account_id")
        for row in rows["accounts"]:
            hosts = frozenset(str(domain["host"]) for domain in domains.get(row["id"], ()))
            account = Account(row["id"], row["slug"], row["name"], row["realm"], hosts, row["timezone"], row["carrier"])
            made.accounts[account.id] = account
            made.hosts.update(dict.fromkeys(hosts, account))
        made._people(rows, sound)
        made._providers(rows, registers, sound, default_id)
        made._furniture(rows)
        return made

    def _people(self, rows: Rows, sound: DeclaredSound) -> None:
        names = {row["id"]: str(row["name"]) for row in rows["users"]}
        for row in rows["users"]:
            self.users[row["account_id"], row["name"]] = user_of(row)
        for row in rows["devices"]:
            own = sound.phones.get((row["account_id"], row["auth_username"]), _NOTHING)
            self.devices[row["account_id"], row["auth_username"]] = device_of(row, names[row["user_id"]], own)
        numbers: dict[tuple[str, str], set[str]] = {}
        for row in rows["extensions"]:
            kind = ExtensionKind(row["kind"])
            user = names[row["user_id"]] if row["user_id"] is not None else None
            options = json.loads(row["options"])
            extension = Extension(row["id"], row["account_id"], row["number"], kind, user, row["declared"], options)
            self.extensions[extension.account_id, extension.number] = extension
            if user is not None:
                numbers.setdefault((extension.account_id, user), set()).add(extension.number)
            if kind is ExtensionKind.LISTEN:
                self.codes.setdefault(extension.account_id, []).append(extension)
        self.numbers_of = {user: frozenset(own) for user, own in numbers.items()}

    def _providers(
        self, rows: Rows, registers: Mapping[tuple[str, str], TrunkRegister], sound: DeclaredSound, default_id: str
    ) -> None:
        for row in rows["trunks"]:
            key = row["account_id"], row["name"]
            own = sound.trunks.get(key, _NOTHING)
            self.trunks[key] = Trunk(
                id=row["id"],
                account_id=row["account_id"],
                name=row["name"],
                proxy=row["proxy"],
                sources=tuple(ip_network(source) for source in json.loads(row["sources"])),
                from_user=row["from_user"],
                register=registers.get(key),
                max_calls=row["max_calls"],
                transit=row["transit"],
                cid_number=json.loads(row["options"]).get("cid_number"),
                declared=row["declared"],
                codecs=own.codecs,
                srtp=own.srtp,
                fax=own.fax,
            )
        self.sources = TrustedSources(self.trunks.values(), default_id)
        self.proxies = _hosts_of(self.trunks.values())
        self.own_proxies = _hosts_of(filter(self.sources.vouched, self.trunks.values()))
        for account_id, routes in _grouped(rows["routes"], "account_id").items():
            self.routes[account_id] = tuple(
                OutboundRoute(account_id, compile_pattern(row["pattern"]), row["trunk"], row["strip"], row["prepend"])
                for row in sorted(routes, key=lambda row: int(row["position"]))
            )

    def _furniture(self, rows: Rows) -> None:
        for row in rows["numbers"]:
            self.direct[row["number"]] = number_of(row)
        for row in rows["ring_groups"]:
            self.ring_groups[row["account_id"], row["name"]] = ring_group_of(row)
        for row in rows["queues"]:
            self.queues[row["account_id"], row["name"]] = queue_of(row)
        for row in rows["schedules"]:
            self.schedules[row["account_id"], row["name"]] = schedule_of(row)
        for row in rows["mailbox_rules"]:
            self.mailboxes[row["account_id"], row["number"]] = Mailbox.model_validate_json(row["options"])
        for account_id, limits in _grouped(rows["call_limits"], "account_id").items():
            ordered = sorted(limits, key=lambda row: str(row["name"]))
            self.limits[account_id] = tuple(limit_of(row) for row in ordered)


def _hosts_of(trunks: Iterable[Trunk]) -> frozenset[str]:
    return frozenset(Uri.parse(one.proxy).host for one in trunks if one.proxy is not None)


def _grouped(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups
