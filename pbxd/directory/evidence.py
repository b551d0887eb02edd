"""What each source has done that a phone which is set up well does not do. Pure: time comes in, charges go out.

Kept by packet source, and of two kinds. What came over a connection, or answered a nonce that was given to that very
address, was sent by who can be reached there: it is proven. Any other datagram may have been forged by a stranger to
harm whose address it bears, so it counts for less (see `Doorman`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address, ip_network

MAX_SOURCES = 10_000
MAX_USERS = 64
MAX_ASKED = 64
MAX_NAME = 32
MEMORY_S = 900.0
ASKED_S = 60.0
LATE_S = 2.0  # no phone takes so long to answer a challenge
LATE_FACTOR = 3
VOUCHED_S = 3600.0


class Cause(StrEnum):
    """Why a source is banned or slowed."""

    GUESSING = "guessing"
    MANY_USERS = "many_users"
    SPRAY = "spray"
    FLOOD = "flood"
    MALFORMED = "malformed"
    SCANNER = "scanner"
    ORDERED = "ordered"
    REPORTED = "reported"

    @property
    def text(self) -> str:
        """For people."""
        return _TEXTS[self]


_TEXTS = {
    Cause.GUESSING: "one wrong password after the other for one user",
    Cause.MANY_USERS: "wrong passwords for many users",
    Cause.SPRAY: "asked for many numbers and proved nothing",
    Cause.FLOOD: "many requests that proved nothing",
    Cause.MALFORMED: "many messages that cannot be read",
    Cause.SCANNER: "calls itself by the name of a scanner",
    Cause.ORDERED: "ordered by an administrator",
    Cause.REPORTED: "banned by another node",
}


@dataclass(frozen=True, slots=True)
class Charge:
    """A source has gone too far. `evidence` says what it did; `proven` whether nobody else can have done it."""

    cause: Cause
    evidence: str
    proven: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once; used up, they come back over `seconds`."""

    count: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something is too much. `known_factor` multiplies them for sources where a phone has proven itself.

    `tries` are the wrong passwords of one user that are looked at, `guesses` how many may come, looked at or not;
    `refuse_after` of them, a user hears 403 instead of another challenge.
    """

    refuse_after: int = 3
    tries: Rate = Rate(5, 50)
    guesses: Rate = Rate(12, 2)
    users: Rate = Rate(8, 60)
    numbers: int = 10
    patience_s: float = 0.05
    requests: Rate = Rate(300, 10)
    malformed: Rate = Rate(60, 60)
    known_factor: float = 4.0
    agents: tuple[str, ...] = ()


@dataclass(slots=True)
class Leak:
    """A bucket that is filled by what happens and runs dry with time."""

    level: float = 0.0
    at: float = 0.0

    def add(self, amount: float, rate: Rate, now: float) -> float:
        """The level after `amount` more."""
        dry = (now - self.at) * rate.count / rate.seconds
        self.level = max(0.0, self.level - dry) + amount
        self.at = now
        return self.level


@dataclass(slots=True)
class Tries:
    """The wrong passwords of one user name from one source."""

    username: str
    first: float
    last: float
    count: int = 0
    tried: Leak = field(default_factory=Leak)
    guesses: Leak = field(default_factory=Leak)


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """A user name that is refused from a source because its password is wrong again and again. Monotonic times."""

    source: str
    username: str
    failures: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class _Asked:
    number: str
    port: int
    at: float


@dataclass(slots=True)
class _Dossier:
    seen: float
    vouched: float = float("-inf")
    asked: dict[int, _Asked] = field(default_factory=dict)  # by hash of the Call-ID
    requests: Leak = field(default_factory=Leak)
    malformed: Leak = field(default_factory=Leak)
    wrong_users: Leak = field(default_factory=Leak)
    users: dict[str, Tries] = field(default_factory=dict)


def source_key(source: str) -> str:
    """Under what a source is kept: an IPv4 address by itself, an IPv6 address by its /64, which is what one customer
    gets; but on the link and on this host each by itself."""
    if ":" not in source:
        return source
    address = ip_address(source.partition("%")[0])
    if address.is_link_local or address.is_loopback:
        return str(address)
    return str(ip_network((address, 64), strict=False))


class Evidence:
    """The dossiers. `thresholds` may be replaced at any time. Sources are as `source_key` gives them."""

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self._dossiers: dict[str, _Dossier] = {}  # the one that rested longest first

    def __len__(self) -> int:
        return len(self._dossiers)

    # ---- who is who

    def vouch(self, source: str, now: float) -> None:
        """A phone at `source` has proven itself: it is a customer, and needs stronger evidence for a time."""
        self._dossier(source, now).vouched = now + VOUCHED_S

    def vouched(self, source: str, now: float) -> bool:
        dossier = self._dossiers.get(source)
        return dossier is not None and dossier.vouched > now

    def forget(self, source: str) -> None:
        self._dossiers.pop(source, None)

    def proved(self, source: str, username: str, call_id: str, now: float) -> None:
        """Right credentials: what was asked before is answered, the user is no longer misconfigured."""
        dossier = self._dossier(source, now)
        dossier.vouched = now + VOUCHED_S
        dossier.users.pop(username[:MAX_NAME], None)
        dossier.asked.clear()

    # ---- what they do

    def asked(self, source: str, port: int, call_id: str, number: str, agent: str, now: float) -> Charge | None:
        """A request outside of any dialog came without credentials. The first of each phone does."""
        dossier, limits = self._dossier(source, now), self.thresholds
        if dossier.vouched > now:
            return None
        if limits.agents and agent.lower().startswith(limits.agents):
            return Charge(Cause.SCANNER, f"User-Agent {_plain(agent)}", proven=False)
        if dossier.requests.add(1, limits.requests, now) > limits.requests.count:
            return Charge(Cause.FLOOD, f"{limits.requests.count:g} requests at once", proven=False)
        asked = dossier.asked
        while asked and (len(asked) >= MAX_ASKED or now - next(iter(asked.values())).at > ASKED_S):
            del asked[next(iter(asked))]
        asked.setdefault(hash(call_id), _Asked(number[:MAX_NAME], port, now))
        return self._spray(dossier, port, now) if len(asked) >= limits.numbers else None

    def _spray(self, dossier: _Dossier, port: int, now: float) -> Charge | None:
        """Many numbers from one port, all challenged and none answered; or as many from anywhere that had time to. A
        gateway's lines, or an office behind one address, are asked for as fast, but answer in a round trip."""
        limits = self.thresholds
        here = [each for each in dossier.asked.values() if each.port == port]
        numbers = dict.fromkeys(each.number for each in here)
        late = {each.number for each in dossier.asked.values() if now - each.at >= LATE_S}
        patient = now - here[0].at >= limits.patience_s
        if len(numbers) >= limits.numbers * (1 if patient else 2) or len(late) >= limits.numbers * LATE_FACTOR:
            named = ", ".join(_plain(number) for number in list(numbers)[:5])
            return Charge(Cause.SPRAY, f"{max(len(numbers), len(late))} numbers, such as {named}", proven=False)
        return None

    def malformed(self, source: str, proven: bool, now: float) -> Charge | None:
        """A message came that cannot be read."""
        dossier, rate = self._dossier(source, now), self.thresholds.malformed
        count = dossier.malformed.add(1, rate, now)
        if count <= rate.count * self._factor(dossier, now):
            return None
        dossier.malformed.level = 0.0
        return Charge(Cause.MALFORMED, f"{count:.0f} messages that cannot be read", proven)

    def may_try(self, source: str, username: str, now: float) -> bool:
        """Whether a password of this user is looked at: not when too many were wrong just now. Asked for users that
        exist and for those that do not, and answered alike."""
        dossier = self._dossiers.get(source)
        tries = dossier.users.get(username[:MAX_NAME]) if dossier else None
        rate = self.thresholds.tries
        return tries is None or tries.tried.add(0, rate, now) <= rate.count - 1

    def wrong(self, source: str, username: str, now: float, *, looked_at: bool) -> Charge | None:
        """A wrong password, or one that `may_try` kept from being looked at; in answer to a nonce of this source."""
        dossier, limits = self._dossier(source, now), self.thresholds
        factor = self._factor(dossier, now)
        tries = dossier.users.get(username[:MAX_NAME])
        if tries is None:
            tries = self._new_user(dossier, username[:MAX_NAME], now)
        tries.last = now
        tries.count += 1
        if looked_at:
            tries.tried.add(1, limits.tries, now)
        guesses = tries.guesses.add(1, limits.guesses, now)
        if guesses >= limits.guesses.count * factor:
            took = now - tries.first
            return Charge(Cause.GUESSING, f"{tries.count} for {_plain(tries.username)} in {took:.1f} s", proven=True)
        if dossier.wrong_users.add(0, limits.users, now) >= limits.users.count * factor:
            named = ", ".join(_plain(name) for name in list(dossier.users)[:5])
            return Charge(Cause.MANY_USERS, f"{len(dossier.users)} users, such as {named}", proven=True)
        return None

    def _new_user(self, dossier: _Dossier, username: str, now: float) -> Tries:
        if len(dossier.users) >= MAX_USERS:
            del dossier.users[min(dossier.users.values(), key=lambda each: each.last).username]
        dossier.wrong_users.add(1, self.thresholds.users, now)
        tries = dossier.users[username] = Tries(username, now, now)
        return tries

    def refused(self, source: str, username: str) -> bool:
        """Whether this user is told plainly that it will not do, instead of being asked once more."""
        dossier = self._dossiers.get(source)
        tries = dossier.users.get(username[:MAX_NAME]) if dossier else None
        return tries is not None and tries.count >= self.thresholds.refuse_after

    def failures(self, source: str, username: str) -> int:
        dossier = self._dossiers.get(source)
        tries = dossier.users.get(username[:MAX_NAME]) if dossier else None
        return tries.count if tries else 0

    def misconfigured(self) -> list[Misconfigured]:
        """Every user that is refused plainly."""
        return [
            Misconfigured(source, tries.username, tries.count, tries.first, tries.last)
            for source, dossier in self._dossiers.items()
            for tries in dossier.users.values()
            if tries.count >= self.thresholds.refuse_after
        ]

    # ---- keeping

    def expire(self, now: float) -> None:
        """Forget the sources of which nothing was heard for long."""
        while self._dossiers:
            source, dossier = next(iter(self._dossiers.items()))
            if now - dossier.seen < MEMORY_S:
                return
            del self._dossiers[source]

    def _factor(self, dossier: _Dossier, now: float) -> float:
        return self.thresholds.known_factor if dossier.vouched > now else 1.0

    def _dossier(self, source: str, now: float) -> _Dossier:
        dossier = self._dossiers.pop(source, None)
        if dossier is None:
            if len(self._dossiers) >= MAX_SOURCES:
                del self._dossiers[next(iter(self._dossiers))]
            dossier = _Dossier(now)
        dossier.seen = now
        self._dossiers[source] = dossier
        return dossier


def _plain(text: str) -> str:
    """For logs: short, and nothing in it that a terminal would obey."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:MAX_NAME]) or "(none)"
