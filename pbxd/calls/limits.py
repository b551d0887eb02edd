"""How many calls there may be: what each is counted against, whether there is room, what is given back at its end.

Limits count calls at a time, or calls begun within a sliding window; of an account, a user, a number or a trunk; in one
direction or in any. A call is counted against all of it or against none, and once however often it asks.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pbxd.calls import causes
from pbxd.calls.record import Direction
from pbxd.config.groups import LimitDirection, LimitScope
from pbxd.directory.model import CallLimit
from pbxd.errors import Overloaded

MAX_TICKETS = 65_536
LEASE_S = 14_400.0  # of a call that lives elsewhere, after the last that was heard of it


class Subject(NamedTuple):
    """Something of an account that has calls. A tuple, for it is looked up a dozen times for each call."""

    account_id: str
    scope: LimitScope
    id: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What a call is to be counted against. `call_id` names it within its account: asked again, it is not counted
    twice. `part` names a part of it that comes and goes by itself, such as a line of a trunk that a menu dials by; only
    the call itself, without a part, counts against its account. `lent` is what it uses of other accounts; a `remote`
    call lives in another process."""

    call_id: str
    account_id: str
    direction: Direction
    users: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    trunks: tuple[str, ...] = ()
    lent: tuple[Subject, ...] = ()
    part: str = ""
    remote: bool = False

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """Each once, the account first."""
        named = [(LimitScope.ACCOUNT, self.account_id)] if not self.part else []
        named += [(LimitScope.USER, name) for name in self.users]
        named += [(LimitScope.NUMBER, name) for name in self.numbers]
        named += [(LimitScope.TRUNK, name) for name in self.trunks]
        return tuple(dict.fromkeys((*(Subject(self.account_id, *each) for each in named), *self.lent)))


@dataclass(frozen=True, slots=True)
class LimitReached:
    """There is no room: `limit` of `scope` `id` has `current` calls. `retry_after_s` is None where only the end of a
    call makes room."""

    scope: LimitScope
    id: str
    limit: CallLimit
    current: int
    retry_after_s: int | None = None

    @property
    def reason(self) -> str:
        """The word for metrics, Reason and records."""
        return f"limit_{self.scope.value}"

    @property
    def text(self) -> str:
        """For people."""
        limit = self.limit
        which = "" if limit.direction is LimitDirection.ANY else f" {limit.direction.value}"
        span = f" within {limit.period_s} s" if limit.period_s else " at a time"
        name = "" if self.scope is LimitScope.ACCOUNT else f" {self.id}"
        return f"the {self.scope.value}{name} has {self.current} of {limit.max_count}{which} calls{span}"

    def answer(self, direction: Direction) -> tuple[int, int]:
        """The SIP status and the Q.850 cause for the caller. Somebody outside hears busy: after a 503 their provider
        might send no calls at all for a while, not even those for others (RFC 3261 §21.5.4)."""
        if direction is Direction.INBOUND or self.scope in (LimitScope.USER, LimitScope.NUMBER):
            return 486, causes.q850_of(486)
        return 503, causes.NO_CIRCUIT


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A call, or a part of it, that was let in: what `release` gives back. `at` is when, `warnings` the soft limits it
    went over."""

    claims: Claims
    subjects: tuple[Subject, ...]
    at: float
    warnings: tuple[LimitReached, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One counter: `current` calls, of `limit.max_count` where there is a limit."""

    scope: LimitScope
    id: str
    direction: LimitDirection
    current: int
    limit: CallLimit | None


class Rules(Protocol):
    """The limits there are; asked at every call."""

    def of(self, subject: Subject) -> Iterable[CallLimit]:
        """Those that hold for a subject."""

    def named(self, account_id: str) -> Iterable[tuple[Subject, CallLimit]]:
        """Those of an account that are worth a line even while nothing counts against them."""


@dataclass(slots=True)
class Window:
    """When calls began within the last `period_s`. What is over a soft limit is counted to twice the limit."""

    period_s: int
    times: deque[float]

    def count(self, now: float) -> int:
        while self.times and self.times[0] <= now - self.period_s:
            self.times.popleft()
        return len(self.times)

    def frees_in(self, wanted: int, now: float) -> int:
        """Seconds until fewer than `wanted` are left."""
        due = self.times[len(self.times) - wanted] + self.period_s if 0 < wanted <= len(self.times) else now + 1
        return max(1, math.ceil(due - now))


Key = tuple[str, str, str]
Place = tuple[str, Subject]  # the id of a limit, and what it counts the calls of


@dataclass(slots=True)
class Limits:
    """The counters. `leaks` counts tickets whose call had gone without giving them back, `soft` warnings by scope."""

    rules: Rules
    leaks: int = 0
    resets: int = 0
    soft: dict[LimitScope, int] = field(default_factory=lambda: dict.fromkeys(LimitScope, 0))
    _tickets: dict[Key, Ticket] = field(default_factory=dict)
    _calls: dict[tuple[str, str], set[str]] = field(default_factory=dict)  # the parts of each call
    _held: dict[Subject, Counter[Direction]] = field(default_factory=dict)
    _leases: dict[Key, float] = field(default_factory=dict)  # until when a remote call is believed to live
    _windows: dict[Place, Window] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._tickets)

    # ---- in and out

    def admit(self, claims: Claims, now: float) -> Ticket | LimitReached:
        """Counts a call against everything it claims, or says which limit is in the way and counts nothing. One that
        was let in already keeps its ticket; where it claims something else now, the ticket is changed for another.
        Raises Overloaded where more calls are held than there is room for."""
        key = _key(claims)
        own = self._tickets.get(key)
        subjects = claims.subjects
        if own is not None and own.subjects == subjects and own.claims.direction is claims.direction:
            self._lease(claims, now)
            return own
        if own is None and len(self._tickets) >= MAX_TICKETS:
            raise Overloaded("more calls are held than there is room for")
        warnings: list[LimitReached] = []
        windows: list[tuple[CallLimit, Subject]] = []
        for subject in subjects:
            for limit in self.rules.of(subject):
                if limit.direction.value not in (LimitDirection.ANY.value, claims.direction.value):
                    continue
                reached = self._reached(limit, subject, own, now)
                if reached is not None and limit.hard:
                    return reached
                warnings += [reached] if reached is not None else []
                if limit.period_s and not (own and subject in own.subjects):
                    windows.append((limit, subject))
        if own is not None:
            self.release(own)
        return self._enter(Ticket(claims, subjects, now, tuple(warnings)), windows, now)

    def restore(self, claims: Claims, now: float) -> Ticket:
        """Counts a call that was let in before a restart: it is up, whatever the limits say. It begins no more, so that
        no window counts it."""
        own = self._tickets.get(_key(claims))
        return own or self._enter(Ticket(claims, claims.subjects, now), (), now)

    def release(self, ticket: Ticket) -> bool:
        """Gives back what a ticket holds, once: False where that has been done."""
        key = _key(ticket.claims)
        if self._tickets.get(key) is not ticket:
            return False
        del self._tickets[key]
        self._leases.pop(key, None)
        parts = self._calls[key[:2]]
        parts.discard(key[2])
        if not parts:
            del self._calls[key[:2]]
        for subject in ticket.subjects:
            held = self._held[subject]
            held[ticket.claims.direction] -= 1
            if not held.total():
                del self._held[subject]
        return True

    def release_call(self, account_id: str, call_id: str) -> int:
        """Gives back all that a call holds; how many tickets that were."""
        parts = tuple(self._calls.get((account_id, call_id), ()))
        return sum(self.release(self._tickets[account_id, call_id, part]) for part in parts)

    def renew(self, account_id: str, call_id: str, now: float) -> bool:
        """A call elsewhere was heard of; False where it holds nothing."""
        parts = self._calls.get((account_id, call_id), set())
        for part in parts:
            self._lease(self._tickets[account_id, call_id, part].claims, now)
        return bool(parts)

    # ---- when they do not match what is there

    def reconcile(self, live: Container[str], now: float) -> list[Ticket]:
        """Compares with the calls that are `live` here, by id. What is held for others is a leak: it is counted, given
        back and told."""
        leaked = [ticket for ticket in self._tickets.values() if not self._lives(ticket, live, now)]
        for ticket in leaked:
            self.release(ticket)
        self.leaks += len(leaked)
        for place in [place for place, window in self._windows.items() if not window.count(now)]:
            del self._windows[place]
        return leaked

    def reset(self, account_id: str, live: Container[str]) -> list[Ticket]:
        """Clears what an account holds, all but its calls that are `live` here, and its windows. Gives what it gave
        back."""
        cleared = [ticket for ticket in self.tickets(account_id) if not _is(ticket, live)]
        for ticket in cleared:
            self.release(ticket)
        for place in [place for place in self._windows if place[1].account_id == account_id]:
            del self._windows[place]
        self.resets += 1
        return cleared

    # ---- questions

    def tickets(self, account_id: str) -> list[Ticket]:
        """What the calls of an account hold, oldest first."""
        return [ticket for ticket in self._tickets.values() if ticket.claims.account_id == account_id]

    def held_by(self, account_id: str, call_id: str) -> list[Ticket]:
        """What one call holds."""
        parts = sorted(self._calls.get((account_id, call_id), ()))
        return [self._tickets[account_id, call_id, part] for part in parts]

    def held(self, subject: Subject, direction: LimitDirection = LimitDirection.ANY) -> int:
        """Calls that are up."""
        held = self._held.get(subject)
        if held is None:
            return 0
        return held.total() if direction is LimitDirection.ANY else held[Direction(direction.value)]

    def readings(self, account_id: str, now: float) -> list[Reading]:
        """Every counter of an account: those with a limit, and those that are not zero; the account's own first."""
        busy = [subject for subject in self._held if subject.account_id == account_id]
        places = dict.fromkeys((limit, subject) for subject, limit in self.rules.named(account_id))
        places.update(dict.fromkeys((limit, subject) for subject in busy for limit in self.rules.of(subject)))
        readings = [
            Reading(subject.scope, subject.id, limit.direction, self._current(limit, subject, now), limit)
            for limit, subject in places
        ]
        limited = {subject for limit, subject in places if limit.direction is LimitDirection.ANY and not limit.period_s}
        counted = dict.fromkeys((Subject(account_id, LimitScope.ACCOUNT, account_id), *busy))
        readings += [
            Reading(subject.scope, subject.id, LimitDirection.ANY, self.held(subject), None)
            for subject in counted
            if subject not in limited
        ]
        order = list(LimitScope)
        return sorted(readings, key=lambda one: (order.index(one.scope), one.id, one.limit is None))

    # ---- inside

    def _reached(self, limit: CallLimit, subject: Subject, own: Ticket | None, now: float) -> LimitReached | None:
        mine = own is not None and subject in own.subjects
        if limit.period_s and mine:
            return None
        current = self._current(limit, subject, now)
        if mine and own is not None and limit.direction.value in (LimitDirection.ANY.value, own.claims.direction.value):
            current -= 1
        if current < limit.max_count:
            return None
        window = self._windows.get((limit.id, subject)) if limit.period_s else None
        wait = window.frees_in(limit.max_count, now) if window is not None else None
        return LimitReached(subject.scope, subject.id, limit, current, wait)

    def _current(self, limit: CallLimit, subject: Subject, now: float) -> int:
        if not limit.period_s:
            return self.held(subject, limit.direction)
        window = self._windows.get((limit.id, subject))
        return window.count(now) if window is not None else 0

    def _enter(self, ticket: Ticket, windows: Sequence[tuple[CallLimit, Subject]], now: float) -> Ticket:
        claims, key = ticket.claims, _key(ticket.claims)
        self._tickets[key] = ticket
        self._calls.setdefault(key[:2], set()).add(claims.part)
        self._lease(claims, now)
        for subject in ticket.subjects:
            self._held.setdefault(subject, Counter())[claims.direction] += 1
        for limit, subject in windows:
            self._window(limit, subject).times.append(now)
        for warning in ticket.warnings:
            self.soft[warning.scope] += 1
        return ticket

    def _window(self, limit: CallLimit, subject: Subject) -> Window:
        """The window of a limit, with what it has counted so far though the limit has changed."""
        place, most = (limit.id, subject), 2 * limit.max_count + 1
        window = self._windows.get(place)
        if window is None or (window.period_s, window.times.maxlen) != (limit.period_s, most):
            times = window.times if window is not None else ()
            window = self._windows[place] = Window(limit.period_s, deque(times, maxlen=most))
        return window

    def _lease(self, claims: Claims, now: float) -> None:
        if claims.remote:
            self._leases[_key(claims)] = now + LEASE_S

    def _lives(self, ticket: Ticket, live: Container[str], now: float) -> bool:
        return _is(ticket, live) or (ticket.claims.remote and self._leases[_key(ticket.claims)] > now)


def _key(claims: Claims) -> Key:
    return claims.account_id, claims.call_id, claims.part


def _is(ticket: Ticket, live: Container[str]) -> bool:
    return ticket.claims.call_id in live
