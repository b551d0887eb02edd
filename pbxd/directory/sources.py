"""Whose calls an address sends: trunks are trusted by source, the most exact rule wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from pbxd.directory.model import Network, Trunk


class TrustedSources:
    """A look-up from (source address, From user) to a trunk.

    A trunk that names its From user goes before one that does not, then the smaller network before the larger, then
    the one declared first. Addresses a provider was registered at come last.
    """

    def __init__(self, trunks: Iterable[Trunk]) -> None:
        self._hosts: dict[str, list[tuple[Network, Trunk]]] = {}
        self._networks: list[tuple[Network, Trunk]] = []
        self._registered: dict[str, Trunk] = {}
        for trunk in trunks:
            for network in trunk.sources:
                if network.num_addresses == 1:
                    self._hosts.setdefault(str(network.network_address), []).append((network, trunk))
                else:
                    self._networks.append((network, trunk))

    def registered(self, addresses: Mapping[str, Trunk]) -> None:
        """Trust these addresses, where we are registered, and no others of that kind."""
        self._registered = dict(addresses)

    def covers(self, source: str) -> bool:
        """Whether `source` (an IP literal) is some trunk's, whoever it says is calling."""
        address = ip_address(source.partition("%")[0])
        return (
            str(address) in self._hosts
            or str(address) in self._registered
            or any(address in network for network, _ in self._networks)
        )

    def find(self, source: str, from_user: str | None) -> Trunk | None:
        """The trunk that a call from `source` (an IP literal) with this From user belongs to."""
        candidates = self._hosts.get(source, [])
        if self._networks:
            address = ip_address(source.partition("%")[0])
            candidates = candidates + [each for each in self._networks if address in each[0]]
        best: tuple[Network, Trunk] | None = None
        for network, trunk in candidates:
            if trunk.from_user not in (None, from_user):
                continue
            if best is None or _rank(network, trunk) > _rank(*best):
                best = network, trunk
        if best is not None:
            return best[1]
        provider = self._registered.get(source)
        return provider if provider is not None and provider.from_user in (None, from_user) else None


def _rank(network: Network, trunk: Trunk) -> tuple[bool, int]:
    return trunk.from_user is not None, network.prefixlen
