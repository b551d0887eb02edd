"""The gate that every call passes once it is known who calls and where to: limits, and who may not call abroad now.

Who begins a call gives back what it holds once it is over, whatever ended it: no listener of the bus is waited for.
What rings on its behalf and leaves earlier, such as one of the phones that a menu calls, holds a `Line` of its own,
which its leg gives back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from pbxd.calls import causes
from pbxd.calls.admission import Refusal
from pbxd.calls.dial import Target
from pbxd.calls.facilities import Facilities
from pbxd.calls.limits import Claims, LimitReached, Limits, Subject, Ticket
from pbxd.calls.line import Line
from pbxd.calls.record import CallRecord, Direction
from pbxd.calls.routing import Route, ToTrunk, ToUser
from pbxd.config.groups import LimitScope
from pbxd.directory.fraud import Outward
from pbxd.directory.model import Trunk
from pbxd.errors import HouseError
from pbxd.trace import Topic

log = logging.getLogger(__name__)

HOUSE = "house"
OUTSIDE = "outside"
OF_CALL = "/"  # between the id of a call and a part of it
POST = "post"  # in the place of the id, for a message
RETRY_S = 5
RECONCILE_S = 60.0
Hold = Callable[[CallRecord, str, ToUser | ToTrunk, Sequence[Target]], list[Target]]
"""The places of a party that somebody's call reaches, on a line of their own. Raises Barred where none is left, or the
call may not be."""
Post = Callable[[str, str, str, ToUser | ToTrunk, str], None]
"""(account id, who writes, to which number as it was said, where that leads, what the refusal is counted for): raises
Barred for a message that may not be."""


class Barred(HouseError):
    """A call that may not be now. `why` is the word for metrics and Reason; the answer to the caller is `sip_status`
    with `q850`."""

    http_status, code = 503, "barred"

    def __init__(self, why: Refusal, text: str, status: int, q850: int, retry_after_s: int | None = None) -> None:
        super().__init__(f"{why.value}: {text}")
        self.why = why
        self.sip_status = status
        self.q850 = q850
        self.retry_after_s = retry_after_s

    @classmethod
    def by(cls, reached: LimitReached, direction: Direction) -> Barred:
        """For a limit that is in the way."""
        status, q850 = reached.answer(direction)
        retry = (reached.retry_after_s or RETRY_S) if status == 503 else None
        return cls(Refusal(reached.reason), reached.text, status, q850, retry)


def call_of(key: str) -> str:
    """The id of the call that a key of an `Outward` belongs to."""
    return key.partition(OF_CALL)[0]


class Watchman(Protocol):
    """Who looks out for toll fraud. Times are seconds since the epoch."""

    def attempt(self, outward: Outward, wall: float) -> str | None:
        """Why this call may not be, or None; it is under way then."""

    def ended(self, key: str, talked_s: float, wall: float) -> None:
        """It is over. Unknown keys mean nothing."""


@dataclass(frozen=True, slots=True)
class LimitPassed:
    """A soft limit was reached; the call went on."""

    call_id: str
    reached: LimitReached


@dataclass(frozen=True, slots=True)
class LimitLeaked:
    """A ticket was held for a call that had gone."""

    ticket: Ticket


@dataclass(slots=True)
class Gate:
    """Asks `limits` and `watchman` for each call, and gives back at its end. `here` and `elsewhere` tell the ids of the
    calls that are up in this process and at nodes; these two and `watchman` may be set later."""

    facilities: Facilities
    limits: Limits
    here: Callable[[], frozenset[str]] = frozenset
    elsewhere: Callable[[], frozenset[str]] = frozenset
    watchman: Watchman | None = None
    _parts: count[int] = field(default_factory=lambda: count(1))
    _due: float = float("-inf")
    _outward: dict[str, list[str]] = field(default_factory=dict)  # keys of calls abroad, by call

    def enter(
        self,
        record: CallRecord,
        user: str | None,
        trunk: str | None,
        found: Route,
        source: str,
        *,
        carrier: Trunk | None = None,
    ) -> None:
        """Lets a call in that `user` begins, or `trunk` brings: the `carrier`, which may be another account's; an empty
        word is somebody outside. Raises Barred, and then holds nothing."""
        now, outward = self.facilities.clock(), found if isinstance(found, ToTrunk) else None
        claims = Claims(
            record.id,
            record.account_id,
            record.direction,
            users=(user,) if user else (),
            numbers=self._own_number(record) if trunk is not None else (),
            trunks=_own_trunk(record, outward),
            lent=(*(_of_trunk(carrier) if carrier is not None else ()), *_lent(record, outward)),
        )
        self._claim(record, claims, source, now)
        if outward is not None and (user is not None or trunk is not None):  # what the house itself begins is no theft
            try:
                self._watch(record, user or trunk or OUTSIDE, (record.called, outward.number), record.id, source, now)
            except Barred:
                self.limits.release_call(record.account_id, record.id)
                raise

    def hold(self, record: CallRecord, caller: str, found: ToUser | ToTrunk, targets: Sequence[Target]) -> list[Target]:
        """The places of a party that `caller` reaches, together on a line of their own beside what the call holds
        itself. Raises Barred."""
        if not targets:
            return []
        line = self.reach(record, caller, found, targets[0].party)
        line.holders = len(targets)
        return [replace(target, line=line) for target in targets]

    def reach(self, record: CallRecord, caller: str, found: ToUser | ToTrunk, source: str) -> Line:
        """A line to whom a call reaches. Raises Barred."""
        now, part = self.facilities.clock(), str(next(self._parts))
        users = (found.user.name,) if isinstance(found, ToUser) else ()
        outward = found if isinstance(found, ToTrunk) else None
        direction = Direction.OUTBOUND if outward is not None else record.direction
        trunks, lent = _own_trunk(record, outward), _lent(record, outward)
        claims = Claims(record.id, record.account_id, direction, users=users, trunks=trunks, lent=lent, part=part)
        ticket, key = self._claim(record, claims, source, now), f"{record.id}{OF_CALL}{part}"
        if isinstance(found, ToTrunk):
            try:
                self._watch(record, caller, (found.number,), key, source, now)
            except Barred:
                self.limits.release(ticket)
                raise

        def give_back(later: float, talked_s: float) -> None:
            self.limits.release(ticket)
            self._unwatch(record.id, key, talked_s, later)

        return Line(give_back)

    def post(self, account_id: str, caller: str, called: str, found: ToUser | ToTrunk, source: str) -> None:
        """Whether `caller` may send a message there. One that leaves the house is watched like a call, a short one;
        limits count calls and not this. Raises Barred."""
        if self.watchman is None or not isinstance(found, ToTrunk):
            return
        key = f"{POST}{OF_CALL}{next(self._parts)}"
        wall = self.facilities.wall(self.facilities.clock())
        why = self.watchman.attempt(Outward(key, account_id, caller, (called, found.number)), wall)
        if why is not None:
            self.facilities.refuse(Refusal.TOLL_FRAUD, source)
            raise Barred(Refusal.TOLL_FRAUD, why, 403, causes.q850_of(403))
        self.watchman.ended(key, 0.0, wall)

    def leave(self, record: CallRecord, now: float) -> None:
        """A call is over: all that it holds is given back. Again is harmless."""
        self.limits.release_call(record.account_id, record.id)
        talked = 0.0 if record.answered_at is None else (record.ended_at or record.answered_at) - record.answered_at
        for key in self._outward.pop(record.id, ()):
            if self.watchman is not None:
                self.watchman.ended(key, talked, self.facilities.wall(now))

    def alive(self) -> frozenset[str]:
        """The ids of all calls that are up."""
        return self.here() | self.elsewhere()

    def look(self, now: float) -> None:
        """Compares with the calls that are up, once a minute, and says what was held for others."""
        if now >= self._due:
            self._due = now + RECONCILE_S
            self._reconcile(self.alive(), now)

    def reset(self, account_id: str, live: Container[str], by: str) -> list[Ticket]:
        """Clears what an account holds for others than the calls that are `live`."""
        cleared = self.limits.reset(account_id, live)
        log.warning("the counters of %s are reset by %s: %d were stuck", account_id, by, len(cleared))
        return cleared

    # ---- inside

    def _own_number(self, record: CallRecord) -> tuple[str, ...]:
        """The number of ours that was called from outside."""
        found = self.facilities.directory.number("+" + record.called.removeprefix("+"))
        return (found.number,) if found is not None and found.account_id == record.account_id else ()

    def _reconcile(self, live: Container[str], now: float) -> None:
        leaked = self.limits.reconcile(live, now)
        for ticket in leaked:
            claims = ticket.claims
            held = ", ".join(f"{subject.scope.value} {subject.id}" for subject in ticket.subjects)
            log.error("a call that is over still counted: %s", held, extra={"call": claims.call_id})
            self.facilities.bus.publish(LimitLeaked(ticket))

    def _claim(self, record: CallRecord, claims: Claims, source: str, now: float) -> Ticket:
        found = self.limits.admit(claims, now)
        if isinstance(found, LimitReached):
            self.facilities.refuse(Refusal(found.reason), source)
            raise Barred.by(found, claims.direction)
        for warning in found.warnings:
            log.warning("a soft limit is passed: %s", warning.text, extra={"call": record.id})
            self.facilities.tracer.note(record.id, Topic.DECISION, f"a soft limit is passed: {warning.text}", now)
            self.facilities.bus.publish(LimitPassed(record.id, warning))
        return found

    def _watch(
        self, record: CallRecord, caller: str, numbers: tuple[str, ...], key: str, source: str, now: float
    ) -> None:
        if self.watchman is None or key in self._outward.get(record.id, ()):  # asked again
            return
        outward = Outward(key, record.account_id, caller, numbers)
        why = self.watchman.attempt(outward, self.facilities.wall(now))
        if why is not None:
            self.facilities.refuse(Refusal.TOLL_FRAUD, source)
            raise Barred(Refusal.TOLL_FRAUD, why, 403, causes.q850_of(403))
        self._outward.setdefault(record.id, []).append(key)

    def _unwatch(self, call_id: str, key: str, talked_s: float, now: float) -> None:
        keys = self._outward.get(call_id)
        if keys is None or key not in keys or self.watchman is None:
            return
        keys.remove(key)
        self.watchman.ended(key, talked_s, self.facilities.wall(now))


def _of_trunk(trunk: Trunk) -> tuple[Subject, ...]:
    return (Subject(trunk.account_id, LimitScope.TRUNK, trunk.name),)


def _own_trunk(record: CallRecord, outward: ToTrunk | None) -> tuple[str, ...]:
    """The trunk of its own account that a call leaves by."""
    own = outward is not None and outward.trunk.account_id == record.account_id
    return (outward.trunk.name,) if outward is not None and own else ()


def _lent(record: CallRecord, outward: ToTrunk | None) -> tuple[Subject, ...]:
    """The trunk of another account, the house's, that a call leaves by."""
    foreign = outward is not None and outward.trunk.account_id != record.account_id
    return _of_trunk(outward.trunk) if outward is not None and foreign else ()
