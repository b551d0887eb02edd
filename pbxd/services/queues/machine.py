"""The queues of one account as a machine: callers and operators in, offers and ends out. No clock, no socket.

Whoever drives it says `now`, carries out `events_to_send`, and calls `handle_timer` when `timer` is due. One caller is
one operator's at most, one operator one caller's; every caller who joins leaves exactly once.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random

from pbxd.services.queues.model import (
    Announce,
    Caller,
    Claimed,
    Connected,
    Event,
    Exit,
    Joined,
    Lease,
    Left,
    Membership,
    Offered,
    Operator,
    QueueRules,
    Returned,
    Seen,
    Strategy,
    Verdict,
    Why,
    Withdrawn,
)
from pbxd.services.queues.roster import Roster
from pbxd.services.queues.statistics import Day, QueueFigures
from pbxd.services.queues.strategy import choose
from pbxd.services.queues.table import CALLER, Activity, Control, Place, Status, Step, Turn

CLAIM_S = 20.0  # beyond the ring time, for who has claimed a caller to be heard
HANDLED = 20  # calls from which the next wait is guessed


@dataclass(slots=True)
class Queue:
    """One queue: its rules, its operators with their penalties, who waits (in order), and how long calls took."""

    rules: QueueRules
    members: dict[str, int] = field(default_factory=dict)
    line: list[Caller] = field(default_factory=list)
    handled_s: deque[float] = field(default_factory=lambda: deque(maxlen=HANDLED))


class Due(IntEnum):
    """What a timer is for."""

    LEASE = 1  # of an operator, by epoch
    WAIT = 2
    ANNOUNCE = 3
    WRAP_UP = 4
    REST = 5


class Acd:
    """`make_id` names leases; `rng` is for the strategy random."""

    def __init__(self, make_id: Callable[[], str], rng: Random) -> None:
        self._rng = rng
        self._events: list[Event] = []
        self._timers: list[tuple[float, int, Due, str, int]] = []
        self._serial = 0
        self.roster = Roster(self._tell, make_id)
        self.queues: dict[str, Queue] = {}
        self.callers: dict[str, Caller] = {}

    # ---- what it says

    def events_to_send(self) -> list[Event]:
        """What has happened since the last time, in order."""
        events, self._events = self._events, []
        return events

    @property
    def timer(self) -> float | None:
        """When `handle_timer` is to be called next."""
        return self._timers[0][0] if self._timers else None

    @property
    def day(self) -> Day:
        return self.roster.day

    def position(self, caller: Caller) -> int:
        """1 is next."""
        line = self.queues[caller.queue].line
        return line.index(caller) + 1 if caller in line else len(line) + 1

    def expected_wait(self, queue: str, position: int, now: float) -> float | None:
        """Seconds until whoever stands there is answered, from how long calls took lately; None: nobody knows."""
        found = self.queues[queue]
        free = sum(queue in one.queues for one in self.roster.free(now))
        if position <= free:
            return 0.0
        serving = self.roster.serving(queue)
        if not found.handled_s or not serving:
            return None
        return (position - free) * (sum(found.handled_s) / len(found.handled_s)) / serving

    # ---- what holds

    def configure(self, queues: Mapping[str, tuple[QueueRules, Membership]], now: float) -> None:
        """Takes up other rules and members. Callers of a queue that is no more leave it; who is logged in serves the
        queues that they are a member of, beside those they were given by name."""
        for name in self.queues.keys() - queues.keys():
            for caller in [one for one in self.callers.values() if one.queue == name]:
                self._leave(caller, Exit.NO_AGENTS, now)
            for operator in self.roster:
                operator.queues.pop(name, None)
            del self.queues[name]
        for name, (rules, members) in queues.items():
            queue = self.queues.setdefault(name, Queue(rules))
            for operator in self.roster:
                if operator.name in queue.members and operator.name not in members:
                    operator.queues.pop(name, None)
                elif operator.name in members and members[operator.name] != queue.members.get(operator.name):
                    operator.queues[name] = members[operator.name]
            queue.rules, queue.members = rules, dict(members)
        self._dispatch(now)

    def queues_of(self, operator: str) -> dict[str, int]:
        """Those that name the operator, with its penalty."""
        return {name: queue.members[operator] for name, queue in self.queues.items() if operator in queue.members}

    def begin_day(self, name: str, now: float) -> Day:
        """Counts another day from now on; the one that is over."""
        return self.roster.begin_day(name, now)

    def take_up(self, operators: Iterable[Operator], callers: Iterable[Caller], now: float) -> None:
        """Goes on with the operators and callers of a machine that has stopped, at their places. Their timers begin
        again from what is left of their times."""
        for operator in operators:
            self.roster.take_up(operator)
            if operator.lease is not None:
                self._at(operator.lease.until, Due.LEASE, operator.name, operator.lease.epoch)
            self._at(max(now, operator.wraps_until, operator.rests_until), Due.WRAP_UP, operator.name, 0)
        for caller in sorted(callers, key=lambda one: one.serial):
            rules = self.queues[caller.queue].rules
            self.callers[caller.id] = caller
            self._serial = max(self._serial, caller.serial)
            if caller.waits:
                insort(self.queues[caller.queue].line, caller, key=lambda one: one.rank)
            self._at(caller.joined_at + rules.max_wait_s, Due.WAIT, caller.id, caller.serial)
            if rules.announce_position:
                self._at(now + rules.announce_interval_s, Due.ANNOUNCE, caller.id, caller.serial)

    # ---- callers

    def join(
        self,
        call: str,
        queue: str,
        now: float,
        *,
        number: str = "",
        name: str = "",
        priority: int = 0,
        wait_when_empty: bool | None = None,
        remote: bool = False,
        waited_s: float = 0.0,
    ) -> Exit | None:
        """A caller comes, or is back at the place of one that has waited for so long; None: it waits from now on.
        Raises KeyError for a queue that is not there, ValueError for a call that is in a queue already."""
        if call in self.callers:
            raise ValueError(f"{call} waits already")
        found = self.queues[queue]
        waits = found.rules.wait_when_empty if wait_when_empty is None else wait_when_empty
        self._serial += 1
        came = now - waited_s
        caller = Caller(call, queue, number, name, priority, came, self._serial, waits, remote)
        figures = self.day.queue(queue)
        figures.entered += 1
        refusal = self._refusal(found, caller, now)
        if refusal is not None:
            self._count(figures, refusal, 0.0)
            self._tell(Left(call, queue, refusal, 0.0))
            return refusal
        self.callers[call] = caller
        insort(found.line, caller, key=lambda one: one.rank)
        self._tell(Joined(call, queue, self.position(caller)))
        self._at(max(now, came + found.rules.max_wait_s), Due.WAIT, call, caller.serial)
        if found.rules.announce_position:
            self._at(now + found.rules.announce_first_s, Due.ANNOUNCE, call, caller.serial)
        self._dispatch(now)
        return None

    def leave(self, call: str, now: float, exit_: Exit = Exit.ABANDON) -> None:
        """The caller is gone, or its conversation is over. Who is not in a queue may leave it, too."""
        caller = self.callers.get(call)
        if caller is not None:
            self._leave(caller, Exit.ANSWERED if caller.place is Place.TALKING else exit_, now)
            self._dispatch(now)

    def interrupt(self, now: float, alive: Container[str]) -> set[str]:
        """Every call of the house is over, for it has stopped. Nobody is offered anything by that. Of the calls at
        nodes those `alive` are up still: who talks there goes on; who waits there comes back, and is counted then.
        Those who come back."""
        coming: set[str] = set()
        for caller in tuple(self.callers.values()):
            lives = caller.remote and caller.id in alive
            if lives and caller.place is Place.TALKING:
                continue
            back = lives and caller.waits
            self._leave(caller, Exit.ABANDON if caller.remote and not lives else Exit.INTERRUPTED, now)
            if back:
                coming.add(caller.id)
                self._forget_one(self.day.queue(caller.queue))
        return coming

    # ---- operators

    def control(self, operator: str, event: Control, now: float, queues: Membership | None = None) -> bool:
        """What an operator asks for; False: not in this status. Who logs in without `queues` serves those that name
        them; queues that are not there are left out."""
        found = self.roster.get(operator)
        if queues is not None:
            queues = {name: penalty for name, penalty in queues.items() if name in self.queues}
        elif event is Control.LOGIN or not found.queues:
            queues = self.queues_of(operator)
        if not self.roster.control(found, event, queues, now):
            return False
        lease = found.lease
        if found.activity is Activity.OFFERING and lease is not None:
            if found.status is not Status.AVAILABLE or lease.queue not in found.queues:
                self._withdraw(found, Why.NOT_AVAILABLE, now)
        elif found.activity is Activity.WRAP_UP and event is Control.AVAILABLE:
            self._rested(found, now)
        self._empty(now)
        self._dispatch(now)
        return True

    def see(self, seen: Mapping[str, Seen], now: float) -> None:
        """What is known of operators' phones. All at once: nobody is rung who was not looked at."""
        news = []
        for name, phone in seen.items():
            operator = self.roster.get(name)
            if self.roster.see(operator, phone, now):
                news.append((operator, phone))
        for operator, phone in news:
            lease = operator.lease
            if operator.activity is not Activity.OFFERING or lease is None:
                continue
            if phone.on_call or not phone.reachable or not operator.reaches(self.callers[lease.caller]):
                self._withdraw(operator, Why.ON_CALL if phone.on_call else Why.UNREACHABLE, now)
        if news:
            self._dispatch(now)

    def confirm(self, lease_id: str, epoch: int, now: float) -> Verdict:
        """An operator answers the offer of that epoch. Won: the caller is theirs alone."""
        operator = next((one for one in self.roster if one.lease_id == lease_id), None)
        if operator is None:
            return Verdict.UNKNOWN
        lease = operator.lease
        if lease is None or lease.epoch != epoch or operator.activity is not Activity.OFFERING or now > lease.until:
            return Verdict.STALE
        return self._claim(operator, self.callers[lease.caller], lease, now)

    def claim(self, operator: str, call: str, now: float) -> Verdict:
        """An operator takes a caller of a queue they serve, offered or not; the first one wins."""
        found, caller = self.roster.operators.get(operator), self.callers.get(call)
        if found is None or caller is None:
            return Verdict.UNKNOWN
        lease = found.lease
        if (
            not caller.waits
            or caller.queue not in found.queues
            or found.status is not Status.AVAILABLE
            or found.on_call
        ):
            return Verdict.STALE
        if found.activity is Activity.OFFERING and lease is not None and lease.caller == call:
            return self._claim(found, caller, lease, now)
        if found.activity is not Activity.WAITING:
            return Verdict.STALE
        ring_s = self.queues[caller.queue].rules.ring_s
        return self._claim(found, caller, self.roster.offer(found, call, caller.queue, ring_s, now), now)

    def connected(self, lease: Lease, now: float) -> bool:
        """The operator who claimed the caller hears them. False: that is over."""
        caller = self._claimed(lease)
        if caller is None:
            return False
        caller.place = CALLER[caller.place, Step.CONNECT]
        caller.connected_at, caller.waited_s = now, now - caller.joined_at
        self._tell(Connected(lease, caller.waited_s))
        return True

    def failed(self, lease: Lease, why: Why, now: float) -> None:
        """The phone of an offer refused it or cannot be reached; or who had claimed the caller did not come. The caller
        waits on at its old place."""
        operator = self.roster.get(lease.operator)
        held = operator.lease
        if held is None or (held.id, held.epoch) != (lease.id, lease.epoch):
            return
        if operator.activity is Activity.OFFERING:
            self._withdraw(operator, why, now)
        elif self._claimed(lease) is not None:
            self._return(operator, lease, why, now)
        self._dispatch(now)

    # ---- time

    def handle_timer(self, now: float) -> None:
        """Does what is due."""
        while self._timers and self._timers[0][0] <= now:
            _when, _serial, due, key, mark = heapq.heappop(self._timers)
            if due in (Due.WAIT, Due.ANNOUNCE):
                caller = self.callers.get(key)
                if caller is not None and caller.serial == mark:
                    self._caller_due(due, caller, now)
            elif (operator := self.roster.operators.get(key)) is not None:
                self._operator_due(due, operator, mark, now)
        self._dispatch(now)

    def _caller_due(self, due: Due, caller: Caller, now: float) -> None:
        rules = self.queues[caller.queue].rules
        if due is Due.WAIT and caller.waits:
            self._leave(caller, Exit.TIMEOUT, now)
        elif due is Due.ANNOUNCE and caller.place is not Place.TALKING:
            if caller.waits:
                position = self.position(caller)
                expected_s = self.expected_wait(caller.queue, position, now)
                self._tell(Announce(caller.id, caller.queue, position, expected_s))
            self._at(now + rules.announce_interval_s, Due.ANNOUNCE, caller.id, caller.serial)

    def _operator_due(self, due: Due, operator: Operator, mark: int, now: float) -> None:
        lease = operator.lease
        if due is Due.WRAP_UP and operator.activity is Activity.WRAP_UP and now >= operator.wraps_until:
            self._rested(operator, now)
        elif due is Due.LEASE and lease is not None and lease.epoch == mark and now >= lease.until:
            if operator.activity is Activity.OFFERING:
                self._withdraw(operator, Why.NO_ANSWER, now)
            elif self._claimed(lease) is not None:
                self._return(operator, lease, Why.NO_ANSWER, now)

    # ---- inside

    def _tell(self, event: Event) -> None:
        self._events.append(event)

    def _at(self, when: float, due: Due, key: str, mark: int) -> None:
        self._serial += 1
        heapq.heappush(self._timers, (when, self._serial, due, key, mark))

    def _refusal(self, queue: Queue, caller: Caller, now: float) -> Exit | None:
        rules = queue.rules
        if rules.max_callers and len(queue.line) >= rules.max_callers:
            return Exit.QUEUE_FULL
        if not caller.wait_when_empty and not self.roster.logged_in(rules.name):
            return Exit.NO_AGENTS
        expected_s = self.expected_wait(rules.name, len(queue.line) + 1, now)
        if rules.max_expected_wait_s and expected_s is not None and expected_s > rules.max_expected_wait_s:
            return Exit.EWT
        return None

    def _in_line(self) -> Iterator[Caller]:
        """All who wait, the first to be served first, whatever their queue."""
        lines = [tuple(queue.line) for queue in self.queues.values() if queue.line]
        return heapq.merge(*lines, key=lambda one: one.rank)

    def _dispatch(self, now: float) -> None:
        """Offers callers to who is free."""
        free = self.roster.free(now)
        for caller in self._in_line() if free else ():
            queue = self.queues[caller.queue]
            everybody = queue.rules.strategy is Strategy.RING_ALL
            if caller.place is Place.OFFERED and not everybody:
                continue
            able = [one for one in free if caller.queue in one.queues and one.reaches(caller)]
            if not able:
                continue
            for operator in choose(queue.rules.strategy, caller, able, list(queue.members), self._rng):
                self._offer(operator, caller, now)
                free.remove(operator)
            if not free:
                return

    def _offer(self, operator: Operator, caller: Caller, now: float) -> None:
        ring_s = self.queues[caller.queue].rules.ring_s
        lease = self.roster.offer(operator, caller.id, caller.queue, ring_s, now)
        self.roster.turn(operator, Turn.OFFERED, Why.OFFERED, now)
        caller.place = CALLER[caller.place, Step.OFFER]
        caller.offers.add(operator.name)
        self._at(lease.until, Due.LEASE, operator.name, lease.epoch)
        self._tell(Offered(lease))

    def _withdraw(self, operator: Operator, why: Why, now: float) -> None:
        """An offer is over, and nobody has taken the call by it."""
        lease = operator.lease
        assert lease is not None  # noqa: S101 - who is being offered something has a lease
        caller = self.callers[lease.caller]
        caller.offers.discard(operator.name)
        if caller.place is Place.OFFERED and not caller.offers:
            caller.place = CALLER[caller.place, Step.NOBODY]
        self._missed(operator, caller, why, now)
        self.roster.turn(operator, Turn.WITHDRAWN, why, now)
        self._tell(Withdrawn(lease, why))

    def _missed(self, operator: Operator, caller: Caller, why: Why, now: float) -> None:
        if why not in (Why.TAKEN, Why.CALLER_LEFT):
            self._try_others(caller, operator)
        self.roster.released(operator, why, self.queues[caller.queue].rules.max_no_answer, now)
        if operator.rests_until > now:
            self._at(operator.rests_until, Due.REST, operator.name, 0)

    def _try_others(self, caller: Caller, operator: Operator) -> None:
        """Who was tried comes last; when all were, it begins anew."""
        caller.tried.add(operator.name)
        if all(one.name in caller.tried for one in self.roster if caller.queue in one.queues):
            caller.tried = {operator.name}

    def _claim(self, operator: Operator, caller: Caller, lease: Lease, now: float) -> Verdict:
        """All others ring no more."""
        caller.place = CALLER[caller.place, Step.CLAIM]
        caller.operator = operator.name
        caller.offers.discard(operator.name)
        for name in sorted(caller.offers):
            self._withdraw(self.roster.get(name), Why.TAKEN, now)
        held = Lease(
            *(lease.id, lease.epoch, lease.operator, lease.caller, lease.queue, lease.offered_at), now + CLAIM_S
        )
        operator.lease = held
        operator.missed = 0
        self.queues[caller.queue].line.remove(caller)
        self.roster.turn(operator, Turn.CLAIMED, Why.ANSWERED, now)
        self._at(held.until, Due.LEASE, operator.name, held.epoch)
        self._tell(Claimed(held))
        self._dispatch(now)
        return Verdict.WON

    def _claimed(self, lease: Lease) -> Caller | None:
        """Who was claimed by it, and waits for the operator to come."""
        caller, held = self.callers.get(lease.caller), self.roster.get(lease.operator).lease
        if caller is None or caller.place is not Place.CLAIMED or held is None:
            return None
        return caller if (held.id, held.epoch) == (lease.id, lease.epoch) else None

    def _return(self, operator: Operator, lease: Lease, why: Why, now: float) -> None:
        caller = self.callers[lease.caller]
        queue = self.queues[caller.queue]
        caller.place = CALLER[caller.place, Step.RETURN]
        caller.operator = None
        insort(queue.line, caller, key=lambda one: one.rank)
        self._missed(operator, caller, why, now)
        self.roster.turn(operator, Turn.RETURNED, why, now)
        self._tell(Returned(lease, why))
        if now - caller.joined_at >= queue.rules.max_wait_s:
            self._leave(caller, Exit.TIMEOUT, now)

    def _leave(self, caller: Caller, exit_: Exit, now: float) -> None:
        """The one way out."""
        queue, figures = self.queues[caller.queue], self.day.queue(caller.queue)
        for name in sorted(caller.offers):
            self._withdraw(self.roster.get(name), Why.CALLER_LEFT, now)
        if caller.waits:
            queue.line.remove(caller)
        before, caller.place = caller.place, CALLER[caller.place, Step.LEAVE]
        del self.callers[caller.id]
        waited_s = now - caller.joined_at if caller.waited_s is None else caller.waited_s
        talked_s = now - caller.connected_at if caller.connected_at is not None else 0.0
        if before is Place.TALKING:
            figures.waited_s += waited_s
            figures.in_time += waited_s <= queue.rules.service_level_s
            figures.talked_s += talked_s
            exit_ = Exit.ANSWERED
        self._count(figures, exit_, waited_s)
        if caller.operator is not None:
            self._let_go(self.roster.get(caller.operator), caller, before, talked_s, now)
        operator = caller.operator if before is Place.TALKING else None
        self._tell(Left(caller.id, caller.queue, exit_, waited_s, operator, talked_s))

    def _let_go(self, operator: Operator, caller: Caller, before: Place, talked_s: float, now: float) -> None:
        """The operator of a caller who has gone: has talked, or was about to."""
        lease = operator.lease
        if before is Place.TALKING:
            rules = self.queues[caller.queue].rules
            self.queues[caller.queue].handled_s.append(talked_s + rules.wrap_up_s)
            self.roster.finish(operator, caller.queue, talked_s, rules.wrap_up_s, now)
            if operator.activity is Activity.WRAP_UP:
                self._at(operator.wraps_until, Due.WRAP_UP, operator.name, 0)
        elif lease is not None:
            self.roster.released(operator, Why.CALLER_LEFT, 0, now)
            self.roster.turn(operator, Turn.RETURNED, Why.CALLER_LEFT, now)
            self._tell(Withdrawn(lease, Why.CALLER_LEFT))

    def _forget_one(self, figures: QueueFigures) -> None:
        figures.entered -= 1
        figures.exits[Exit.INTERRUPTED] -= 1

    def _count(self, figures: QueueFigures, exit_: Exit, waited_s: float) -> None:
        figures.exits[exit_] += 1
        figures.longest_wait_s = max(figures.longest_wait_s, waited_s)

    def _rested(self, operator: Operator, now: float) -> None:
        wrapped_s = self.roster.rest(operator, now)
        if operator.last_queue is not None:
            self.day.queue(operator.last_queue).wrapped_s += wrapped_s

    def _empty(self, now: float) -> None:
        """Who does not wait where nobody is logged in leaves when the last one has gone."""
        for name, queue in self.queues.items():
            if queue.line and not self.roster.logged_in(name):
                for caller in [one for one in queue.line if not one.wait_when_empty]:
                    self._leave(caller, Exit.NO_AGENTS, now)
