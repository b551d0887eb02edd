"""What other nodes say of whom they have banned: each node's last word, for as long as it keeps saying so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pbxd.directory.model import Network
from pbxd.errors import Conflict

MAX_NODES = 64
MAX_BANS = 2_000
STALE_S = 300.0  # ten reports were missed


@dataclass(frozen=True, slots=True)
class ReportedBan:
    """A ban in force at a node. Times are seconds since the epoch, as the node says; `until` None is for good."""

    network: Network
    reason: str = ""
    evidence: str = ""
    flagged: bool = False
    since: float = 0.0
    until: float | None = None
    hits: int = 0


@dataclass(slots=True)
class Reports:
    """By node. Nothing here is enforced by us: each node keeps its own door."""

    _nodes: dict[str, tuple[float, tuple[ReportedBan, ...]]] = field(default_factory=dict)

    def take(self, node: str, bans: Sequence[ReportedBan], now: float) -> None:
        """The whole of what a node has banned, instead of what it said before. Raises Conflict for one node too many;
        `bans` are MAX_BANS at most."""
        self._forget(now)
        if node not in self._nodes and len(self._nodes) >= MAX_NODES:
            raise Conflict(f"{MAX_NODES} nodes report already")
        self._nodes[node] = now, tuple(bans)

    def bans(self, now: float) -> list[tuple[str, ReportedBan]]:
        """What is known of all nodes, each ban with who says so."""
        self._forget(now)
        return [(node, ban) for node, (_, bans) in self._nodes.items() for ban in bans]

    def lift(self, network: Network) -> int:
        """Forgets the bans inside `network`, until their node says them again; how many there were."""
        lifted = 0
        for node, (at, bans) in self._nodes.items():
            left = tuple(ban for ban in bans if not _holds(network, ban.network))
            lifted += len(bans) - len(left)
            self._nodes[node] = at, left
        return lifted

    def _forget(self, now: float) -> None:
        for node in [node for node, (at, _) in self._nodes.items() if at <= now - STALE_S]:
            del self._nodes[node]


def _holds(outer: Network, inner: Network) -> bool:
    same_family = outer.version == inner.version
    return same_family and inner.prefixlen >= outer.prefixlen and inner.network_address in outer
