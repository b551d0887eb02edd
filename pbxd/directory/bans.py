"""Who may not speak to the house: bans with their reason, evidence and end, kept in the store, enforced by wire."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Protocol

from sqlalchemy import bindparam, delete, select

from pbxd.directory.evidence import Cause
from pbxd.directory.model import Network
from pbxd.errors import Conflict, Invalid, NotFound
from pbxd.events import Bus
from pbxd.ids import new_id
from pbxd.store import Store
from pbxd.store.schema import bans

log = logging.getLogger(__name__)

MAX_ACTIVE = 8192  # what wire holds
MAX_ENDED = 2_000  # that can be looked at
HOUSE = "house"
_PURGE = delete(bans).where(bans.c.ended_at < bindparam("before"))


class Sieve(Protocol):
    """Wire's guard: drops what a banned network sends, unread."""

    def ban(self, network: str) -> None: ...
    def unban(self, network: str) -> None: ...
    def ban_hits(self, network: str) -> int: ...
    def slow(self, network: str) -> None: ...
    def unslow(self, network: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a ban lasts: `first_s`, and `factor` times as long for each one before that ended less than `forget_s`
    ago, up to `max_s`; on evidence that may be forged up to `unproven_max_s`."""

    first_s: float = 600
    factor: float = 6
    max_s: float = 604_800
    unproven_max_s: float = 3_600
    forget_s: float = 2_592_000

    def duration_s(self, offence: int, *, proven: bool) -> float:
        longest = self.max_s if proven else self.unproven_max_s
        return float(min(self.first_s * self.factor ** min(offence - 1, 32), longest))


@dataclass(slots=True)
class Ban:
    """One ban. `since`, `until` (None: for good) and `ended_at` are seconds since the epoch; `ends` is monotonic.
    `offence` counts the bans of this network, `hits` what it has kept out so far."""

    id: str
    network: Network
    cause: Cause
    reason: str
    evidence: str
    made_by: str
    since: float
    until: float | None
    offence: int = 1
    hits: int = 0
    ended_at: float | None = None
    ended_by: str | None = None
    ends: float = float("inf")

    @property
    def name(self) -> str:
        """The network as people write it: one address without its prefix length."""
        return network_text(self.network)


@dataclass(frozen=True, slots=True)
class Banned:
    """A network may speak no more."""

    ban: Ban


@dataclass(frozen=True, slots=True)
class Unbanned:
    """It may again: `ban.ended_by` says by whose doing."""

    ban: Ban


def parse_network(text: str) -> Network:
    """An address or network. Raises Invalid: what is none, all addresses there are, IPv4 written as IPv6."""
    try:
        network = ip_network(text.strip().partition("%")[0], strict=False)
    except ValueError:
        raise Invalid(f"{text[:64]} is neither an address nor a network such as 192.0.2.0/24") from None
    if network.version == 6 and network.network_address.ipv4_mapped:
        raise Invalid("write an IPv4 network as IPv4")
    return network


def network_text(network: Network) -> str:
    return str(network.network_address) if _is_host(network) else str(network)


def _is_host(network: Network) -> bool:
    return network.prefixlen == network.max_prefixlen


class Bans:
    """The bans in force, and those that have ended, newest last. `terms` may be replaced at any time."""

    def __init__(self, store: Store, bus: Bus, sieve: Sieve, account_id: str, terms: Terms) -> None:
        self.terms = terms
        self.made: dict[Cause, int] = dict.fromkeys(Cause, 0)
        self.active: dict[Network, Ban] = {}
        self.ended: dict[str, Ban] = {}
        self._past: dict[Network, list[Ban]] = {}  # of those, by network, oldest first
        self._ended_hits = 0
        self._store = store
        self._save = store.upsert(bans)
        self._bus = bus
        self._sieve = sieve
        self._account_id = account_id
        self._before: dict[str, int] = {}  # hits that the sieve, which forgets with the process, does not know
        self._hosts: set[str] = set()
        self._wide: list[Network] = []

    async def load(self, now: float, wall: float) -> int:
        """Take up what the store holds; how many are in force. Raises StoreError."""
        self.purge(wall)
        for row in await self._store.rows(select(bans).order_by(bans.c.since)):
            try:
                ban = _ban(row._asdict())
            except ValueError:
                log.warning("the ban %s of the store is not readable and is left alone", row.id)
                continue
            if ban.ended_at is None and (ban.until is None or ban.until > wall) and len(self.active) < MAX_ACTIVE:
                ban.ends = float("inf") if ban.until is None else now + ban.until - wall
                self._enforce(ban)
            else:
                self._keep(ban)
        return len(self.active)

    # ---- making and ending

    def ban(
        self,
        network: Network,
        cause: Cause,
        evidence: str,
        now: float,
        wall: float,
        *,
        proven: bool = True,
        made_by: str = HOUSE,
        reason: str = "",
        duration_s: float | None = None,
    ) -> Ban:
        """Ban a network as the terms say, or for `duration_s`, which may be infinite. One in force is replaced, and a
        ban that the house makes never shortens it. Raises Conflict when there is room for no more, Invalid for all
        addresses there are."""
        if network.prefixlen == 0:
            raise Invalid("that would be everybody")
        current = self.active.get(network)
        offence = self.offence(network, wall)
        lasts = self.terms.duration_s(offence, proven=proven) if duration_s is None else duration_s
        if current is not None:
            if made_by == HOUSE and current.ends >= now + lasts:
                return current
            self._end(current, made_by, wall)
        self._make_room(wall)
        until = None if lasts == float("inf") else wall + lasts
        text = reason or cause.text
        ban = Ban(new_id("ban", wall), network, cause, text, evidence, made_by, wall, until, offence, ends=now + lasts)
        self._enforce(ban)
        self.made[cause] += 1
        self._store.write(self._save, self._row(ban))
        self._bus.publish(Banned(ban))
        return ban

    def lift(self, wanted: str, by: str, wall: float) -> Ban:
        """End a ban, named by its id or its network. Raises NotFound."""
        ban = self.find(wanted)
        if ban is None or ban.ended_at is not None:
            raise NotFound("no such ban is in force")
        self._end(ban, by, wall)
        return ban

    def prolong(self, ban: Ban, by_s: float) -> None:
        """Make one in force end so much later; it is the same offence still."""
        ban.ends += by_s
        ban.until = None if ban.until is None else ban.until + by_s
        self._store.write(self._save, self._row(ban))

    def end(self, ban: Ban, by: str, wall: float) -> None:
        """End one in force; `time` where it had its time elsewhere, so that the next one is longer."""
        self._end(ban, by, wall)

    def expire(self, now: float, wall: float) -> None:
        """End the bans whose time is over."""
        for ban in [ban for ban in self.active.values() if ban.ends <= now]:
            self._end(ban, "time", wall)

    def purge(self, wall: float) -> None:
        """Forget the ended bans that nothing depends on any more."""
        before = wall - self.terms.forget_s
        self._store.write(_PURGE, {"before": before})
        for ban in [ban for ban in self.ended.values() if (ban.ended_at or 0.0) < before]:
            self._forget(ban)

    def save(self) -> None:
        """Write down the hits, which are counted without a word."""
        for ban in self.active.values():
            known = ban.hits
            if self.hits(ban) != known:
                self._store.write(self._save, self._row(ban))

    # ---- questions

    def offence(self, network: Network, wall: float) -> int:
        """Which one the next ban of a network would be."""
        return 1 + sum(self._counts(old, wall) for old in self._past.get(network, ()))

    def last_ended(self, network: Network) -> Ban | None:
        """The ban of a network that ended last."""
        past = self._past.get(network)
        return past[-1] if past else None

    def holds(self, source: str) -> bool:
        """Whether an address is banned. Asked for each datagram that wire has let through, so it is quick."""
        if source in self._hosts:
            return True
        return bool(self._wide) and self.covering(source) is not None

    def covering(self, source: str) -> Ban | None:
        """The ban an address is under."""
        address = ip_address(source.partition("%")[0])
        host = self.active.get(ip_network(address))
        if host is not None:
            return host
        return next((self.active[network] for network in self._wide if address in network), None)

    def find(self, wanted: str) -> Ban | None:
        """By its id, or by its network when it is in force."""
        for ban in (*self.active.values(), *self.ended.values()):
            if ban.id == wanted:
                return ban
        try:
            return self.active.get(parse_network(wanted))
        except Invalid:
            return None

    def all(self) -> list[Ban]:
        """Those in force and those that ended, newest first."""
        return sorted((*self.active.values(), *self.ended.values()), key=lambda ban: ban.id, reverse=True)

    def refused(self, source: str) -> None:
        """Something was kept out that wire does not see: a connection."""
        ban = self.covering(source)
        if ban is not None:
            self._before[ban.id] = self._before.get(ban.id, 0) + 1

    def hits(self, ban: Ban) -> int:
        """What it has kept out: datagrams and connections."""
        if ban.ended_at is None:
            ban.hits = self._before.get(ban.id, 0) + self._sieve.ban_hits(str(ban.network))
        return ban.hits

    @property
    def total_hits(self) -> int:
        """What all bans of this run have kept out."""
        return self._ended_hits + sum(map(self.hits, self.active.values()))

    # ---- inside

    def _counts(self, old: Ban, wall: float) -> bool:
        """Whether an ended ban makes the next one longer. One that somebody lifted was a mistake."""
        return old.ended_by == "time" and wall - (old.ended_at or 0.0) < self.terms.forget_s

    def _make_room(self, wall: float) -> None:
        if len(self.active) < MAX_ACTIVE:
            return
        first = min(self.active.values(), key=lambda ban: ban.ends)
        if first.ends == float("inf"):
            raise Conflict(f"{MAX_ACTIVE} bans are in force, all of them for good")
        self._end(first, "room", wall)

    def _enforce(self, ban: Ban) -> None:
        self._sieve.ban(str(ban.network))
        self.active[ban.network] = ban
        self._before[ban.id] = ban.hits
        if _is_host(ban.network):
            self._hosts.add(ban.name)
        else:
            self._wide.append(ban.network)

    def _end(self, ban: Ban, by: str, wall: float) -> None:
        hits = self.hits(ban)
        ban.ended_at, ban.ended_by = wall, by
        self._ended_hits += hits
        self._before.pop(ban.id, None)
        del self.active[ban.network]
        self._sieve.unban(str(ban.network))
        if _is_host(ban.network):
            self._hosts.discard(ban.name)
        else:
            self._wide.remove(ban.network)
        self._keep(ban)
        self._store.write(self._save, self._row(ban))
        self._bus.publish(Unbanned(ban))

    def _keep(self, ban: Ban) -> None:
        if ban.ended_at is None:  # its time ran out while nobody was here
            ban.ended_at, ban.ended_by = ban.until or ban.since, "time"
            self._store.write(self._save, self._row(ban))
        self.ended[ban.id] = ban
        self._past.setdefault(ban.network, []).append(ban)
        while len(self.ended) > MAX_ENDED:
            self._forget(next(iter(self.ended.values())))

    def _forget(self, ban: Ban) -> None:
        del self.ended[ban.id]
        past = self._past[ban.network]
        past.remove(ban)
        if not past:
            del self._past[ban.network]

    def _row(self, ban: Ban) -> dict[str, Any]:
        return {
            "id": ban.id,
            "account_id": self._account_id,
            "network": str(ban.network),
            "cause": ban.cause.value,
            "reason": ban.reason,
            "evidence": ban.evidence,
            "made_by": ban.made_by,
            "since": ban.since,
            "until": ban.until,
            "offence": ban.offence,
            "hits": ban.hits,
            "ended_at": ban.ended_at,
            "ended_by": ban.ended_by,
        }


def _ban(row: dict[str, Any]) -> Ban:
    """Raises ValueError."""
    names = ("id", "reason", "evidence", "made_by", "since", "until", "offence", "hits", "ended_at", "ended_by")
    values = {name: row[name] for name in names}
    return Ban(network=ip_network(row["network"]), cause=Cause(row["cause"]), **values)
