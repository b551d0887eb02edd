"""Decides what becomes of a source that did too much: nothing, a slower road, or a ban.

    source                                   proven evidence              evidence that may be forged
    a trunk, an allowed network              never anything               never anything
    where a phone is registered, or proved   a ban, at `known_factor`     a slower road, at `known_factor`, for what
    itself within the hour                   times the thresholds         cannot be read; nothing for the rest
    anybody else                             a ban, longer each time      a ban, an hour at most

So nobody can have a phone of ours banned by forging its address: he cannot answer a nonce that we sent there. A phone
with a wrong password is no attack: from the third on its user hears 403 with the reason, and a few a minute are looked
at. A ban is for who tries one password after the other, or the names of many.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from pbxd.directory.bans import Bans, Sieve, network_text, parse_network
from pbxd.directory.evidence import Cause, Charge, Evidence, source_key
from pbxd.directory.model import Network
from pbxd.errors import HouseError
from pbxd.events import Bus
from pbxd.sip.flow import Flow
from pbxd.sip.message import Request

log = logging.getLogger(__name__)

MAX_SLOWED = 4096
MAX_IMMUNE = 20_000
IMMUNE_S = 5.0  # how long an answer about an address holds: trunks come and go


@dataclass(frozen=True, slots=True)
class Slowed:
    """A source has a smaller bucket until `ends`; times are monotonic."""

    network: Network
    cause: Cause
    evidence: str
    since: float
    ends: float

    @property
    def name(self) -> str:
        return network_text(self.network)


@dataclass(frozen=True, slots=True)
class PhoneMisconfigured:
    """A phone at `source` has had the wrong password for `username` again and again."""

    source: str
    username: str
    failures: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the doorman asks: `known`, whether a phone is registered from a source (as `source_key` names it) at a
    time; `immune`, whether an address is a trunk's or allowed; `wall`, seconds since the epoch at a monotonic time."""

    known: Callable[[str, float], bool]
    immune: Callable[[str], bool]
    wall: Callable[[float], float]


class Doorman:
    """Hears what happens at the door, and acts. `enabled` off, he only looks after bans that are ordered."""

    def __init__(self, bans: Bans, evidence: Evidence, sieve: Sieve, bus: Bus, around: Surroundings) -> None:
        self.bans = bans
        self.evidence = evidence
        self.enabled = True
        self.slow_s = 300.0
        self.slowed: dict[str, Slowed] = {}
        self.refused = 0
        self._sieve = sieve
        self._bus = bus
        self._around = around
        self._immune: dict[str, tuple[bool, float]] = {}

    # ---- the door

    def admit(self, source: str) -> bool:
        """Whether an address may connect or be heard. What wire let through before a ban was in force ends here."""
        if not self.barred(source):
            return True
        self.refused += 1
        self.bans.refused(source)
        return False

    def barred(self, source: str) -> bool:
        """Whether an address is banned, and not within that allowed."""
        return self.bans.holds(source) and not self._around.immune(source)

    def immune(self, source: str, now: float) -> bool:
        """Whether nothing is ever held against this address."""
        found = self._immune.get(source)
        if found is None or now - found[1] > IMMUNE_S:
            if len(self._immune) >= MAX_IMMUNE:
                self._immune.clear()
            found = self._immune[source] = (self._around.immune(source), now)
        return found[0]

    def reconsider(self, now: float) -> None:
        """Trunks or allowed networks have changed: who is one of them now is no longer slowed."""
        self._immune.clear()
        for key in [key for key in self.slowed if self.immune(str(parse_network(key).network_address), now)]:
            self._unslow(key)

    # ---- what he hears (authentication.Watch)

    def asked(self, request: Request, flow: Flow, now: float) -> None:
        """A request that begins something, and proves nothing."""
        source, port = flow.remote
        if not self.enabled or self.immune(source, now):
            return
        number = (request.to.uri if request.method == "REGISTER" else request.uri).user or ""
        agent = request.headers.get("User-Agent") or ""
        key = source_key(source)
        self._judge(source, self.evidence.asked(key, port, request.call_id, number, agent, now), now)

    def unreadable(self, flow: Flow, now: float) -> None:
        """A message that cannot be read."""
        source = flow.remote[0]
        if self.enabled and not self.immune(source, now):
            self._judge(source, self.evidence.malformed(source_key(source), flow.transport.reliable, now), now)

    def may_try(self, source: str, username: str, now: float) -> bool:
        """Whether a password is looked at. The answer does not depend on whether there is such a user."""
        if not self.enabled or self.immune(source, now):
            return True
        return self.evidence.may_try(source_key(source), username, now)

    def wrong(self, source: str, username: str, now: float, *, looked_at: bool) -> bool:
        """A password that was wrong, or not looked at, in answer to a nonce that was given to `source`. Whether its
        user is told plainly that it will not do."""
        if not self.enabled or self.immune(source, now):
            return False
        key = source_key(source)
        charge = self.evidence.wrong(key, username, now, looked_at=looked_at)
        failures = self.evidence.failures(key, username)
        if failures == self.evidence.thresholds.refuse_after:
            self._bus.publish(PhoneMisconfigured(source, username, failures))
        refused = self.evidence.refused(key, username)
        self._judge(source, charge, now)
        return refused

    def proved(self, source: str, username: str, call_id: str, now: float) -> None:
        """Right credentials."""
        if self.enabled and not self.immune(source, now):
            self.evidence.proved(source_key(source), username, call_id, now)

    # ---- time

    def tick(self, now: float) -> None:
        """What is due; called every second or so."""
        self.bans.expire(now, self._around.wall(now))
        self.evidence.expire(now)
        for key in [key for key, slowed in self.slowed.items() if slowed.ends <= now]:
            self._unslow(key)

    # ---- inside

    def _judge(self, source: str, charge: Charge | None, now: float) -> None:
        if charge is None or self.barred(source):
            return
        key = source_key(source)
        if not self.evidence.vouched(key, now) and self._around.known(key, now):
            self.evidence.vouch(key, now)  # and from now on more is needed
            return
        if not self.evidence.vouched(key, now):
            self._ban(key, charge, now)
        elif charge.cause is Cause.MALFORMED:
            self._slow(key, charge, now)
        elif charge.proven:
            self._ban(key, charge, now)

    def _ban(self, key: str, charge: Charge, now: float) -> None:
        try:
            wall = self._around.wall(now)
            self.bans.ban(parse_network(key), charge.cause, charge.evidence, now, wall, proven=charge.proven)
        except (HouseError, OSError) as error:
            log.error("%s is not banned: %s", key, error)
        self.evidence.forget(key)

    def _slow(self, key: str, charge: Charge, now: float) -> None:
        network = parse_network(key)
        if key not in self.slowed:
            if len(self.slowed) >= MAX_SLOWED:
                self._unslow(next(iter(self.slowed)))
            try:
                self._sieve.slow(str(network))
            except OSError as error:
                log.error("%s is not slowed: %s", key, error)
                return
        before = self.slowed.get(key)
        since = before.since if before else now
        slowed = self.slowed[key] = Slowed(network, charge.cause, charge.evidence, since, now + self.slow_s)
        if before is None:
            self._bus.publish(slowed)

    def _unslow(self, key: str) -> None:
        slowed = self.slowed.pop(key)
        self._sieve.unslow(str(slowed.network))
