"""What other nodes say of whom they have banned, carried out by the house's own guard.

A node says all that it has banned, again and again. What it says first is banned here as well: until the node's end of
it, or where it names none as long as the house's own terms say; who comes back is kept out for longer, as after a ban
of our own. What it says no more it has ended before its time, and so does the house. Nobody is banned on a node's word
whom the house would not ban itself, and what somebody lifts here stays lifted while the node goes on saying it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from pbxd.directory.bans import Ban, Bans
from pbxd.directory.evidence import Cause
from pbxd.directory.model import Network
from pbxd.errors import Conflict, HouseError

MAX_NODES = 64
MAX_BANS = 2_000
MAX_ENFORCED = 4_096  # so that there is room for the house's own
STALE_S = 300.0  # ten reports were missed
EARLY_S = 60.0  # before its end: the node lifted it; less is the difference of two clocks
SAME_S = 1.0
_NODE = "node "

Spares = Callable[[Network], str | None]
"""Why a network is not banned on a node's word; None: it may be."""


@dataclass(frozen=True, slots=True)
class ReportedBan:
    """A ban in force at a node. Times are seconds since the epoch, as the node says; `until` None is for good. `heard`
    is when the house heard of it first."""

    network: Network
    reason: str = ""
    evidence: str = ""
    flagged: bool = False
    since: float = 0.0
    until: float | None = None
    hits: int = 0
    heard: float = 0.0


@dataclass(slots=True)
class Judged:
    """What the house made of a report: what it enforces, whom it spares and why, and what was lifted here."""

    enforced: list[Network] = field(default_factory=list)
    spared: list[tuple[Network, str]] = field(default_factory=list)
    released: list[Network] = field(default_factory=list)


def ordered_by(node: str) -> str:
    """Who made a ban on a node's word."""
    return _NODE + node


def node_of(ban: Ban) -> str | None:
    """The node on whose word a ban was made."""
    return ban.made_by.removeprefix(_NODE) if ban.cause is Cause.REPORTED else None


class Reports:
    """By node. `sparing` makes the question who is spared, once for each report; what is ordered `together` is carried
    out at once."""

    def __init__(
        self, bans: Bans, sparing: Callable[[], Spares], together: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._bans = bans
        self._sparing = sparing
        self._together = together
        self._nodes: dict[str, tuple[float, dict[Network, ReportedBan]]] = {}

    def take(self, node: str, bans: Sequence[ReportedBan], now: float, wall: float) -> Judged:
        """The whole of what a node has banned, instead of what it said before. Raises Conflict for one node too many;
        `bans` are MAX_BANS at most."""
        self._forget(now)
        if node not in self._nodes and len(self._nodes) >= MAX_NODES:
            raise Conflict(f"{MAX_NODES} nodes report already")
        before = self._nodes.get(node, (0.0, {}))[1]
        said = {one.network: _heard(one, before.get(one.network), wall) for one in bans}
        self._nodes[node] = now, said
        judged, spares = Judged(), self._sparing()
        with self._together():
            for network, one in before.items():
                if network not in said:
                    self._dropped(node, one, wall)
            room = MAX_ENFORCED - sum(ban.cause is Cause.REPORTED for ban in self._bans.active.values())
            for one in said.values():
                room -= self._judge(node, one, judged, spares, room, now, wall)
        return judged

    def bans(self, now: float) -> list[tuple[str, ReportedBan]]:
        """What is known of all nodes, each ban with who says so."""
        self._forget(now)
        return [(node, ban) for node, (_, bans) in self._nodes.items() for ban in bans.values()]

    def said_of(self, ban: Ban) -> ReportedBan | None:
        """What the node of a ban says of it now."""
        return self._nodes.get(node_of(ban) or "", (0.0, {}))[1].get(ban.network)

    # ---- inside

    def _judge(
        self, node: str, one: ReportedBan, judged: Judged, spares: Spares, room: int, now: float, wall: float
    ) -> int:
        """How many more are enforced by it."""
        if one.until is not None and one.until <= wall:
            return 0
        if (why := spares(one.network)) is not None:
            judged.spared.append((one.network, why))
            return 0
        current = self._bans.active.get(one.network)
        if current is not None:
            self._prolong(current, one, wall)
            judged.enforced.append(one.network)
            return 0
        if self._released(node, one):
            judged.released.append(one.network)
            return 0
        try:
            if room <= 0:
                raise Conflict(f"{MAX_ENFORCED} bans of nodes are in force already")
            self._enforce(node, one, now, wall)
        except (HouseError, OSError) as error:
            judged.spared.append((one.network, str(error)))
            return 0
        judged.enforced.append(one.network)
        return 1

    def _enforce(self, node: str, one: ReportedBan, now: float, wall: float) -> None:
        offence = self._bans.offence(one.network, wall)
        terms_s = self._bans.terms.duration_s(offence, proven=True)
        left = None if one.until is None else one.until - wall
        lasts = terms_s if left is None else left if offence == 1 else max(left, terms_s)
        self._bans.ban(
            one.network,
            Cause.REPORTED,
            one.evidence,
            now,
            wall,
            made_by=ordered_by(node),
            reason=one.reason,
            duration_s=lasts,
        )

    def _prolong(self, current: Ban, one: ReportedBan, wall: float) -> None:
        """A ban of a node's goes on for as long as any of them says."""
        if current.cause is Cause.REPORTED and one.until is not None and current.until is not None:
            more = one.until - current.until
            if more > SAME_S:
                self._bans.prolong(current, more)

    def _released(self, node: str, one: ReportedBan) -> bool:
        """Whether somebody here has lifted this very ban."""
        last = self._bans.last_ended(one.network)
        by_people = last is not None and last.ended_by not in ("time", "room", ordered_by(node))
        return by_people and last is not None and (last.ended_at or 0.0) >= min(one.since, one.heard)

    def _dropped(self, node: str, one: ReportedBan, wall: float) -> None:
        current = self._bans.active.get(one.network)
        if current is None or node_of(current) != node or any(self._others(node, one.network)):
            return
        if one.until is None:
            self._bans.end(current, "time", wall)  # for all that is known it had its time there
        elif one.until > wall + EARLY_S:
            self._bans.end(current, ordered_by(node), wall)

    def _others(self, node: str, network: Network) -> Iterator[bool]:
        return (network in said for other, (_, said) in self._nodes.items() if other != node)

    def _forget(self, now: float) -> None:
        for node in [node for node, (at, _) in self._nodes.items() if at <= now - STALE_S]:
            del self._nodes[node]


def _heard(one: ReportedBan, before: ReportedBan | None, wall: float) -> ReportedBan:
    """What a node says again was heard of before; what it does not date began then."""
    heard = before.heard if before is not None else wall
    return replace(one, heard=heard, since=one.since or heard)
