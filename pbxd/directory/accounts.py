"""The directory: who there is, asked by calls without waiting, changed by the file and the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Self

from sqlalchemy import select

from pbxd.config.mailboxes import Mailbox
from pbxd.config.schema import Config
from pbxd.directory.binding import is_ip, same_host
from pbxd.directory.declared import TABLES, declare, registers, sound
from pbxd.directory.model import (
    Account,
    Aor,
    CallLimit,
    Device,
    Extension,
    ExtensionKind,
    Number,
    OutboundRoute,
    PhoneEntry,
    QueueSpec,
    RingGroup,
    ScheduleSpec,
    Trunk,
    User,
)
from pbxd.directory.passwords import credentials, make_password
from pbxd.directory.reading import as_dicts
from pbxd.directory.registrations import stored_registers
from pbxd.directory.seal import Seal
from pbxd.directory.snapshot import Rows, Snapshot
from pbxd.directory.sources import NOBODY, Called
from pbxd.errors import Conflict, NotFound
from pbxd.ids import new_id
from pbxd.store import Store
from pbxd.store.queue import Write
from pbxd.store.schema import METADATA, devices, extensions, users

MAX_DIALLED = 64


class Directory:
    """Accounts and what belongs to them. Look-ups are synchronous and never touch the store."""

    def __init__(self, store: Store, config: Config, seal: Seal | None = None) -> None:
        self.seal = seal or Seal.fresh()
        self._store = store
        self._config = config
        self._snapshot = Snapshot()
        self._registered: dict[tuple[str, str], frozenset[str]] = {}
        self._default_id = ""
        self._turn = asyncio.Lock()  # one change at a time

    @classmethod
    async def load(cls, store: Store, config: Config, wall: float, seal: Seal | None = None) -> Self:
        """Read the store and make what `config` declares true in it; `seal` opens what it has closed. Raises
        StoreError."""
        directory = cls(store, config, seal)
        await directory.reload(config, wall)
        return directory

    async def reload(self, config: Config, wall: float) -> None:
        """Take up a changed configuration. Look-ups see the old state until the new one is whole. Raises StoreError."""
        async with self._turn:
            await self._take_up(config, wall)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """The right to change rows of the directory: one has it at a time. Tell `refresh` what was changed."""
        async with self._turn:
            yield

    async def refresh(self) -> None:
        """Take up what was written into the store by who is `changing` it. Raises StoreError."""
        await self._look_at(await self._rows(), self._config)

    async def _take_up(self, config: Config, wall: float) -> None:
        rows = await self._rows()
        _, writes = await asyncio.to_thread(declare, config, rows, self._store, wall)
        if writes:
            await self._store.commit(writes)
            rows = await self._rows()
        await self._look_at(rows, config)

    async def _look_at(self, rows: Rows, config: Config) -> None:
        """Thousands of phones take a worker thread a while; calls see the old state until then."""
        ids = {row["slug"]: row["id"] for row in rows["accounts"]}
        default_id = ids[config.account.slug]
        registered = stored_registers(rows["trunks"], self.seal) | registers(config, ids)
        snapshot = await asyncio.to_thread(Snapshot.of, rows, registered, sound(config, ids), default_id)
        self._config, self._default_id, self._snapshot = config, default_id, snapshot
        self._trust()

    async def _rows(self) -> Rows:
        return {name: as_dicts(await self._store.rows(select(METADATA.tables[name]))) for name in TABLES}

    # ---- accounts and people

    @property
    def default_account(self) -> Account:
        """The account that any host of ours, and any unknown host, means."""
        return self._snapshot.accounts[self._default_id]

    def accounts(self) -> list[Account]:
        return list(self._snapshot.accounts.values())

    @property
    def ids(self) -> dict[str, str]:
        """The ids of all accounts by their short names."""
        return {account.slug: account.id for account in self._snapshot.accounts.values()}

    def account(self, account_id: str) -> Account | None:
        return self._snapshot.accounts.get(account_id)

    def account_or_default(self, account_id: str) -> Account:
        """The account of this id, or the default one."""
        return self.account(account_id) or self.default_account

    def zone(self, account_id: str) -> str | None:
        """The timezone that an account has of its own."""
        found = self._snapshot.accounts.get(account_id)
        return found.timezone if found is not None else None

    def account_named(self, text: str) -> Account | None:
        """The account of this id or short name."""
        found = self._snapshot.accounts.get(text)
        return found or next((one for one in self._snapshot.accounts.values() if one.slug == text), None)

    def account_for_host(self, host: str) -> Account:
        """The account a Request-URI or To host means; the default one for our own addresses and unknown names."""
        return self.account_named_by(host) or self.default_account

    def account_named_by(self, host: str) -> Account | None:
        """The account whose own host this is; None for our own addresses and unknown names that no account lists."""
        found = self._snapshot.hosts.get(host)
        return found or self._snapshot.hosts.get(host.lower().strip("[]").rstrip("."))

    def is_foreign(self, account: Account, host: str) -> bool:
        """Whether `host` means another account. The hosts of the default one are the house's own addresses, which a
        phone of any account may say."""
        return self.account_for_host(host).id not in (account.id, self._default_id)

    def user(self, account: Account, name: str) -> User | None:
        return self._snapshot.users.get((account.id, name))

    def device(self, account: Account, auth_username: str) -> Device | None:
        return self._snapshot.devices.get((account.id, auth_username))

    def devices(self, account: Account) -> list[Device]:
        return [one for (owner, _), one in self._snapshot.devices.items() if owner == account.id]

    def users(self, account: Account) -> list[User]:
        return [one for (owner, _), one in self._snapshot.users.items() if owner == account.id]

    def login(self, account: Account, username: str) -> Device | None:
        """The device that logs in by this name: its own, or that with the account's domain behind it."""
        name, _, domain = username.rpartition("@")
        whole = self._snapshot.devices.get((account.id, username))
        short = self._snapshot.devices.get((account.id, name))
        return whole or (short if short is not None and short.domain == domain else None)

    def extension(self, account: Account, number: str) -> Extension | None:
        return self._snapshot.extensions.get((account.id, number))

    def coded(self, account: Account, dialled: str) -> Extension | None:
        """The code that `dialled` begins with, and goes on: the longest."""
        codes = self._snapshot.codes.get(account.id, ())
        return max(
            (one for one in codes if dialled.startswith(one.number)), key=lambda one: len(one.number), default=None
        )

    def extensions(self, account: Account) -> list[Extension]:
        """Every number of the account."""
        return [one for (owner, _), one in self._snapshot.extensions.items() if owner == account.id]

    def aor(self, account: Account, name: str) -> Aor | None:
        """The address of record that `name`, a user's name or one of their extensions, stands for."""
        if (account.id, name) in self._snapshot.users:
            return Aor(account.id, name)
        extension = self.extension(account, name)
        return Aor(account.id, extension.user) if extension and extension.user is not None else None

    def owns(self, account: Account, device: Device, from_user: str) -> bool:
        """Whether the device's user may call in the name of `from_user`: their own name or one of their numbers."""
        if device.account_id != account.id:
            return False
        if from_user in (device.user, device.auth_username):
            return True
        return from_user in self._snapshot.numbers_of.get((account.id, device.user), ())

    # ---- numbers, groups, hours, limits

    def number(self, e164: str) -> Number | None:
        """The number of the world's that this is, whosever it is; written with its plus."""
        return self._snapshot.direct.get(e164)

    def numbers(self, account: Account) -> list[Number]:
        return [one for one in self._snapshot.direct.values() if one.account_id == account.id]

    def ring_group(self, account: Account, name: str) -> RingGroup | None:
        return self._snapshot.ring_groups.get((account.id, name))

    def ring_groups(self, account: Account) -> list[RingGroup]:
        return [one for one in self._snapshot.ring_groups.values() if one.account_id == account.id]

    def queue(self, account: Account, name: str) -> QueueSpec | None:
        return self._snapshot.queues.get((account.id, name))

    def queues(self, account: Account) -> list[QueueSpec]:
        return [one for one in self._snapshot.queues.values() if one.account_id == account.id]

    def schedule(self, account: Account, name: str) -> ScheduleSpec | None:
        return self._snapshot.schedules.get((account.id, name))

    def schedules(self, account: Account) -> list[ScheduleSpec]:
        return [one for one in self._snapshot.schedules.values() if one.account_id == account.id]

    def limits(self, account: Account) -> tuple[CallLimit, ...]:
        """By name."""
        return self._snapshot.limits.get(account.id, ())

    def mailboxes(self) -> Mapping[tuple[str, str], Mailbox]:
        """The rules of every mailbox, by account id and number; without first PINs, which stand in the file alone."""
        return self._snapshot.mailboxes

    # ---- trunks

    def trunk(self, account: Account, name: str) -> Trunk | None:
        return self._snapshot.trunks.get((account.id, name))

    def trunks(self, account: Account) -> list[Trunk]:
        return [trunk for trunk in self._snapshot.trunks.values() if trunk.account_id == account.id]

    def all_trunks(self) -> list[Trunk]:
        """Those of every account."""
        return list(self._snapshot.trunks.values())

    def trunk_for(self, source: str, from_user: str | None, called: Called = NOBODY) -> Trunk | None:
        """The trunk that may send a call from `source` (an IP literal) with this From user without a password."""
        return self._snapshot.sources.find(source, from_user, called)

    def trusts(self, trunk: Trunk, source: str) -> bool:
        """Whether the house itself says that what comes from `source` is this trunk's: by the trunk's sources, or as
        the house's own trunk is registered there. A tenant's word in the API is no such thing."""
        address = ip_address(source.partition("%")[0])
        return self._snapshot.sources.vouched(trunk) or any(address in network for network in trunk.sources)

    def is_provider(self, address: str) -> bool:
        """Whether `address` (an IP literal) is a trunk's source or proxy: a host that may trust us by our address."""
        if self._snapshot.sources.covers(address):
            return True
        return any(same_host(proxy, address) for proxy in self._snapshot.proxies)

    def is_own_proxy(self, host: str) -> bool:
        """Whether a trunk of the default account, or one that the file declares, is called at this host, a name or an
        IP literal."""
        return host in self._snapshot.own_proxies

    def own_providers(self) -> list[str]:
        """The addresses (IP literals) of these trunks' proxies that are given as such, and where they are
        registered."""
        snapshot = self._snapshot
        registered = [
            address
            for key, addresses in self._registered.items()
            if snapshot.sources.vouched(snapshot.trunks[key])
            for address in sorted(addresses)
        ]
        return list(dict.fromkeys([*filter(is_ip, sorted(snapshot.own_proxies)), *registered]))

    def is_own_provider(self, address: str) -> bool:
        """Whether this is one of them."""
        sources = self._snapshot.sources
        if any(sources.vouched(trunk) for trunk in sources.registered_at(address)):
            return True
        return any(same_host(proxy, address) for proxy in self._snapshot.own_proxies)

    def trust_registered(self, trunk: Trunk, addresses: frozenset[str]) -> None:
        """Trust `addresses` to be this trunk's provider while we are registered there; none ends that."""
        self._registered[trunk.account_id, trunk.name] = addresses
        self._trust()

    def _trust(self) -> None:
        trunks = self._snapshot.trunks
        self._registered = {key: found for key, found in self._registered.items() if found and key in trunks}
        found: dict[str, list[Trunk]] = {}
        for key, addresses in self._registered.items():
            for address in addresses:
                found.setdefault(address, []).append(trunks[key])
        self._snapshot.sources.registered(found)

    def routes(self, account: Account) -> tuple[OutboundRoute, ...]:
        """In the order in which they are tried."""
        return self._snapshot.routes.get(account.id, ())

    def outbound(self, account: Account, number: str) -> tuple[Trunk, str] | None:
        """The trunk that takes `number`, and the number to dial there; the first route that matches decides."""
        if len(number) > MAX_DIALLED:
            return None
        for route in self._snapshot.routes.get(account.id, ()):
            if route.pattern.fullmatch(number):
                trunk = self._snapshot.trunks.get((account.id, route.trunk))
                dialled = route.prepend + number[route.strip :]
                return (trunk, dialled) if trunk is not None and trunk.proxy is not None and dialled else None
        return None

    def carrier(self, account: Account) -> Trunk | None:
        """The trunk that takes the numbers no route of an account fits: one of its own, or the house's."""
        own = self._snapshot.accounts.get(account.id, account)
        if own.carrier is None and own.id != self._default_id:
            own = self.default_account
        trunk = self._snapshot.trunks.get((own.id, own.carrier or ""))
        return trunk if trunk is not None and trunk.proxy is not None else None

    # ---- phones

    def phones(self, account: Account) -> list[PhoneEntry]:
        """Every phone that can register, by extension."""
        found = []
        for device in self._snapshot.devices.values():
            if device.account_id != account.id:
                continue
            user = self._snapshot.users[account.id, device.user]
            numbers = self._snapshot.numbers_of.get((account.id, device.user), frozenset())
            number = device.user if device.user in numbers or not numbers else min(numbers)
            found.append(PhoneEntry(number, device.user, user.display_name, device.auth_username, device.declared))
        return sorted(found, key=lambda phone: (len(phone.extension), phone.extension))

    async def add_phones(self, account: Account, numbers: Sequence[str], wall: float) -> list[tuple[str, str]]:
        """Make a user, a device and an extension for each of `numbers` that is free. Gives (extension, password) of
        those made: the only time a password is seen. Raises StoreError."""
        async with self._turn:
            taken = self._snapshot.extensions.keys() | self._snapshot.users.keys() | self._snapshot.devices.keys()
            made = [(number, make_password()) for number in numbers if (account.id, number) not in taken]
            phones = [self._phone(account, *phone, wall) for phone in made]
            await self._store.commit([write for table in zip(*phones, strict=True) for write in table])
        if made:
            await self.reload(self._config, wall)
        return made

    def _phone(self, account: Account, number: str, password: str, wall: float) -> tuple[Write, ...]:
        common = {
            "account_id": account.id,
            "options": "{}",
            "declared": False,
            "revision": 1,
            "updated_at": wall,
            "created_at": wall,
        }
        user_id = new_id("usr", wall)
        user = {"id": user_id, "name": number, "display_name": number, **common}
        device = {
            "id": new_id("dev", wall),
            "user_id": user_id,
            "auth_username": number,
            **credentials(number, account.realm, account.domain, password),
            **common,
        }
        extension = {
            "id": new_id("ext", wall),
            "number": number,
            "kind": ExtensionKind.USER.value,
            "user_id": user_id,
            **common,
        }
        upsert = self._store.upsert
        return (upsert(users), user), (upsert(devices), device), (upsert(extensions), extension)

    async def rotate_password(self, account: Account, extension: str) -> str:
        """Give the phone of `extension` a new password and return it, the only time it is seen.

        Raises NotFound; Conflict when the file declares the phone; StoreError.
        """
        async with self._turn:
            aor = self.aor(account, extension)
            device = self._snapshot.devices.get((account.id, aor.user)) if aor else None
            if device is None:
                raise NotFound(f"there is no phone {extension}")
            if device.declared:
                raise Conflict(
                    f"the phone {extension} is declared in the configuration file: change its password there"
                )
            password = make_password()
            columns = credentials(device.auth_username, account.realm, account.domain, password)
            changed = replace(device, **columns)
            await self._store.commit([(self._store.update_by_id(devices, *columns), {"key": device.id, **columns})])
            self._snapshot.devices[account.id, device.auth_username] = changed
            return password
