"""A call centre in virtual time: callers with patience, operators with moods, phones that die."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from pbxd.services.queues.machine import Acd
from pbxd.services.queues.model import (
    Claimed,
    Connected,
    Exit,
    Joined,
    Lease,
    Left,
    Offered,
    QueueRules,
    Returned,
    Seen,
    Strategy,
    Verdict,
    Why,
    Withdrawn,
)
from pbxd.services.queues.table import Activity, Control, Place, Status

QUEUE = "520"


@dataclass
class Told:
    """What the machine told of one caller."""

    joined_at: float
    lefts: list[Left] = field(default_factory=list)
    left_at: float = math.nan
    hung_up_at: float | None = None
    rings: set[str] = field(default_factory=set)
    has: str | None = None


class CallCentre:
    """Drives one machine with `callers` callers and `operators` operators, and checks it at every event."""

    def __init__(self, strategy: Strategy, *, callers: int, operators: int, seed: int, load: float = 0.95) -> None:
        self.rng = Random(seed)
        ids = iter(range(10**9))
        self.acd = Acd(lambda: f"lease_{next(ids)}", Random(seed + 1))
        self.rules = QueueRules(QUEUE, strategy=strategy, announce_position=True, max_callers=60)
        self.names = [str(2001 + number) for number in range(operators)]
        members = {name: (index % 2 if strategy is Strategy.PRIORITY else 0) for index, name in enumerate(self.names)}
        self.acd.configure({QUEUE: (self.rules, members)}, 0.0)
        self.told: dict[str, Told] = {}
        self.busy: dict[str, str] = {}  # operators whose phone rings, or who talk: for whom
        self.answered: Counter[str] = Counter()
        self.now = 0.0
        self._wanted = callers
        self._every_s = (60.0 + 10.0 + 5.0) / (operators * load)
        self._serial = 0
        self._due: list[tuple[float, int, Callable[[], object]]] = []

    def run(self) -> None:
        for name in self.names:
            self.acd.see({name: Seen(True)}, 0.0)
            assert self.acd.control(name, Control.LOGIN, 0.0)
            self.after(self.rng.expovariate(1 / 900), partial(self.drop_out, name))
        for number in range(self._wanted):
            self.after(number * self._every_s * self.rng.uniform(0.8, 1.2), partial(self.call, number))
        while len(self.told) < self._wanted or self.acd.callers:
            timer = self.acd.timer
            if timer is not None and (not self._due or timer <= self._due[0][0]):
                self.now = max(self.now, timer)
                self.acd.handle_timer(self.now)
            else:
                self.now, _serial, act = heapq.heappop(self._due)
                act()
            self.listen()
            self.look()

    def after(self, delay_s: float, act: Callable[[], object]) -> None:
        self._serial += 1
        heapq.heappush(self._due, (self.now + delay_s, self._serial, act))

    # ---- what callers do

    def call(self, number: int) -> None:
        call = f"call_{number}"
        self.told[call] = Told(self.now)
        self.acd.join(call, QUEUE, self.now, priority=1 if self.rng.random() < 0.05 else 0)
        self.after(self.rng.expovariate(1 / 240), lambda: self.hang_up(call))

    def hang_up(self, call: str) -> None:
        """At whatever moment, but who talks stays."""
        caller = self.acd.callers.get(call)
        if caller is not None and caller.place is not Place.TALKING:
            self.told[call].hung_up_at = self.now
            self.acd.leave(call, self.now)

    # ---- what operators do

    def drop_out(self, name: str) -> None:
        """Logs out, has a break, calls somebody, or loses the phone; and comes back."""
        what = self.rng.randrange(4)
        if what == 0:
            self.acd.control(name, Control.LOGOUT, self.now)
            self.after(120, lambda: self.acd.control(name, Control.LOGIN, self.now))
        elif what == 1:
            self.acd.control(name, Control.PAUSE, self.now)
            self.after(60, lambda: self.acd.control(name, Control.UNPAUSE, self.now))
        else:
            on_call = what == 2
            self.acd.see({name: Seen(on_call, on_call)}, self.now)
            self.after(45, lambda: self.acd.see({name: Seen(True)}, self.now))
        self.after(self.rng.expovariate(1 / 900), lambda: self.drop_out(name))

    def ring(self, lease: Lease) -> None:
        mood = self.rng.random()
        if mood < 0.90:
            self.after(self.rng.uniform(0.5, 9), lambda: self.answer(lease))
        elif mood < 0.93:
            self.after(self.rng.uniform(0.5, 9), lambda: self.acd.failed(lease, Why.DECLINED, self.now))
        elif mood < 0.95:
            self.after(self.rng.uniform(0, 15), lambda: self.acd.failed(lease, Why.UNREACHABLE, self.now))
        elif mood < 0.97:
            self.after(25, lambda: self.answer(lease))  # too late

    def answer(self, lease: Lease) -> None:
        """Late answers are refused; one that won is the caller's only one."""
        rings = self.busy.get(lease.operator) == lease.caller and lease.operator in self.told[lease.caller].rings
        verdict = self.acd.confirm(lease.id, lease.epoch, self.now)
        assert (verdict is Verdict.WON) <= rings, "an offer that is over was answered"
        if verdict is Verdict.WON:
            assert self.acd.confirm(lease.id, lease.epoch, self.now) is Verdict.STALE

    def claimed(self, lease: Lease) -> None:
        if self.rng.random() < 0.03:  # the phone died in the moment of answering
            self.after(1, lambda: self.acd.failed(lease, Why.UNREACHABLE, self.now))
        else:
            self.after(0.2, lambda: self.acd.connected(lease, self.now))

    # ---- what is checked

    def listen(self) -> None:
        while events := self.acd.events_to_send():
            for event in events:
                self.hear(event)

    def hear(self, event: object) -> None:
        match event:
            case Offered(lease):
                assert lease.operator not in self.busy, "an operator was offered two callers"
                self.busy[lease.operator] = lease.caller
                self.told[lease.caller].rings.add(lease.operator)
                self.ring(lease)
            case Withdrawn(lease, _) | Returned(lease, _):
                assert self.busy.pop(lease.operator) == lease.caller
                told = self.told[lease.caller]
                told.rings.discard(lease.operator)
                if told.has == lease.operator:
                    told.has = None
            case Claimed(lease):
                told = self.told[lease.caller]
                assert told.has is None, "two operators have one caller"
                assert not told.rings - {lease.operator}, "a phone rings on"
                told.has = lease.operator
                told.rings.clear()
                self.claimed(lease)
            case Connected(lease, waited_s):
                told = self.told[lease.caller]
                assert told.has == lease.operator
                assert waited_s == self.now - told.joined_at
                self.after(self.rng.expovariate(1 / 60), lambda: self.acd.leave(lease.caller, self.now))
            case Left():
                self.left(event)
            case Joined(caller, _, position):
                assert 1 <= position <= 60, caller
            case _:
                pass

    def left(self, event: Left) -> None:
        told = self.told[event.caller]
        told.lefts.append(event)
        told.left_at = self.now
        if event.exit is Exit.ANSWERED:
            assert told.has == event.operator
            assert event.operator is not None
            assert self.busy.pop(event.operator) == event.caller
            self.answered[event.operator] += 1
        elif event.exit is Exit.TIMEOUT:
            assert event.waited_s >= self.rules.max_wait_s
        elif event.exit is Exit.ABANDON:
            assert told.hung_up_at == self.now

    def look(self) -> None:
        """The machine's own state agrees with what it told."""
        for operator in self.acd.roster:
            if operator.activity in (Activity.OFFERING, Activity.IN_CALL):
                assert operator.lease is not None
                assert self.busy[operator.name] == operator.lease.caller
            else:
                assert operator.name not in self.busy
            if operator.activity is Activity.OFFERING:
                assert operator.status is Status.AVAILABLE
                assert operator.reachable
                assert not operator.on_call, "an operator on a call is rung"
