"""Who is never banned: what the configuration allows, what an administrator allowed, and nobody else."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from pbxd.directory.bans import network_text, parse_network
from pbxd.directory.model import Network
from pbxd.errors import Conflict, Invalid, NotFound
from pbxd.ids import new_id
from pbxd.store import Store
from pbxd.store.schema import allowed_networks

log = logging.getLogger(__name__)

MAX_ALLOWED = 128  # wire trusts 512 networks, trunks among them


@dataclass(frozen=True, slots=True)
class Allowed:
    """A network that is never banned. `id` and `since` (seconds since the epoch) are None where the configuration says
    so."""

    network: Network
    note: str
    made_by: str
    since: float | None = None
    id: str | None = None

    @property
    def name(self) -> str:
        return network_text(self.network)


class Allowlist:
    """`declared` are the networks of the configuration; `entries` holds them and those of the store."""

    def __init__(self, store: Store, account_id: str) -> None:
        self._store = store
        self._account_id = account_id
        self._save = store.upsert(allowed_networks)
        self._delete = store.delete_by_id(allowed_networks)
        self._declared: dict[Network, Allowed] = {}
        self._added: dict[Network, Allowed] = {}

    async def load(self) -> None:
        """Take up what the store holds. Raises StoreError."""
        for row in await self._store.rows(select(allowed_networks).order_by(allowed_networks.c.id)):
            try:
                network = parse_network(row.network)
            except Invalid:
                log.warning("the allowed network %s of the store is not readable", row.id)
                continue
            self._added[network] = Allowed(network, row.note, row.made_by, row.created_at, row.id)

    def declare(self, networks: Iterable[Network]) -> None:
        """What the configuration says from now on."""
        self._declared = {network: Allowed(network, "", "configuration") for network in networks}

    @property
    def entries(self) -> list[Allowed]:
        return [*self._declared.values(), *self._added.values()]

    @property
    def networks(self) -> list[Network]:
        return [*self._declared, *(network for network in self._added if network not in self._declared)]

    def add(self, network: Network, note: str, by: str, wall: float) -> Allowed:
        """Raises Conflict when it is there, or when there is room for no more."""
        if network in self._declared or network in self._added:
            raise Conflict(f"{network_text(network)} is allowed already")
        if len(self._added) >= MAX_ALLOWED:
            raise Conflict(f"no more than {MAX_ALLOWED} networks can be allowed: allow a wider one")
        entry = self._added[network] = Allowed(network, note, by, wall, new_id("allow", wall))
        row = {
            "id": entry.id,
            "account_id": self._account_id,
            "network": str(network),
            "note": note,
            "made_by": by,
            "created_at": wall,
        }
        self._store.write(self._save, row)
        return entry

    def remove(self, network: Network) -> Allowed:
        """Raises NotFound, or Conflict for what the configuration says."""
        if network in self._declared:
            raise Conflict(f"{network_text(network)} is allowed by the configuration")
        entry = self._added.pop(network, None)
        if entry is None:
            raise NotFound(f"{network_text(network)} is not on the list")
        self._store.write(self._delete, {"key": entry.id})
        return entry
