"""Whose calls an address sends: trunks are trusted by source, the most exact rule wins. Where trunks are registered,
whom is called decides between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from pbxd.directory.model import Network, Trunk


@dataclass(frozen=True, slots=True)
class Called:
    """Whom a request asks for: the `user` of its Request-URI, and the id of the account whose number of the world's
    that is; None where it is nobody's."""

    user: str = ""
    owner: str | None = None


NOBODY = Called()


class TrustedSources:
    """A look-up from (source address, From user, who is called) to a trunk. `house_id` is the default account's.

    A trunk that names its From user goes before one that does not, then the smaller network before the larger, then
    the one declared first. Addresses a provider was registered at come last: several accounts may be registered there,
    and who says in the API where he registers has said nothing yet of whose calls come from there. So a call is that
    account's whose number is called, or whose Contact; only the house's own word is enough by itself.
    """

    def __init__(self, trunks: Iterable[Trunk], house_id: str | None = None) -> None:
        self._house_id = house_id
        self._hosts: dict[str, list[tuple[Network, Trunk]]] = {}
        self._networks: list[tuple[Network, Trunk]] = []
        self._registered: dict[str, Sequence[Trunk]] = {}
        for trunk in trunks:
            for network in trunk.sources:
                if network.num_addresses == 1:
                    self._hosts.setdefault(str(network.network_address), []).append((network, trunk))
                else:
                    self._networks.append((network, trunk))

    def registered(self, addresses: Mapping[str, Sequence[Trunk]]) -> None:
        """Trust these addresses, where we are registered, and no others of that kind."""
        self._registered = dict(addresses)

    def vouched(self, trunk: Trunk) -> bool:
        """Whether the house stands behind what is said of a trunk: the file declares it, or it is the default
        account's."""
        return trunk.declared or trunk.account_id == self._house_id

    def registered_at(self, source: str) -> Sequence[Trunk]:
        """The trunks that are registered at this address."""
        return self._registered.get(source, ())

    def covers(self, source: str) -> bool:
        """Whether `source` (an IP literal) is some trunk's, whoever it says is calling."""
        address = ip_address(source.partition("%")[0])
        return (
            str(address) in self._hosts
            or str(address) in self._registered
            or any(address in network for network, _ in self._networks)
        )

    def find(self, source: str, from_user: str | None, called: Called = NOBODY) -> Trunk | None:
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
        return self._of_provider(
            [one for one in self.registered_at(source) if one.from_user in (None, from_user)], called
        )

    def _of_provider(self, trunks: Sequence[Trunk], called: Called) -> Trunk | None:
        """Which of the trunks registered at one address is meant: that of the number's owner, then that of the Contact
        which is called, then the house's; none where two accounts have the same to say."""
        vouched = [one for one in trunks if self.vouched(one)]
        owners = [one for one in trunks if one.account_id == called.owner]
        named = [one for one in trunks if one.register is not None and one.register.aor == called.user]
        if called.owner is not None:  # nobody registers the number of somebody else to have its calls
            named = [one for one in named if one in owners or one in vouched]
        choices = ([one for one in owners if one in named], owners, [one for one in named if one in vouched], named)
        found: Sequence[Trunk] = next(filter(None, (*choices, vouched)), ())
        return found[0] if len({one.account_id for one in found}) == 1 else None


def _rank(network: Network, trunk: Trunk) -> tuple[bool, int]:
    return trunk.from_user is not None, network.prefixlen
