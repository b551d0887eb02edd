"""The operators of one account: their states, and what they did today."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pbxd.services.queues.model import MISSES, Event, Lease, Operator, OperatorChanged, Seen, Why
from pbxd.services.queues.statistics import Day
from pbxd.services.queues.table import OPERATOR, STATUS, Activity, Control, Status, Turn

REST_S = 5.0  # before who did not answer is asked again


class Roster:
    """`tell` hears of changes; `make_id` names the leases of who logs in."""

    def __init__(self, tell: Callable[[Event], None], make_id: Callable[[], str]) -> None:
        self._tell = tell
        self._make_id = make_id
        self._offers = 0
        self.day = Day()
        self.operators: dict[str, Operator] = {}

    def __iter__(self) -> Iterator[Operator]:
        return iter(self.operators.values())

    def get(self, name: str) -> Operator:
        """An operator; one that was never heard of is offline."""
        if name not in self.operators:
            self.operators[name] = Operator(name)
        return self.operators[name]

    def take_up(self, operator: Operator) -> None:
        """Goes on with an operator of another roster."""
        self.operators[operator.name] = operator
        self._offers = max(self._offers, operator.turn)

    def free(self, now: float) -> list[Operator]:
        return [one for one in self.operators.values() if one.free(now)]

    def logged_in(self, queue: str) -> int:
        return sum(queue in one.queues and one.status is not Status.OFFLINE for one in self.operators.values())

    def serving(self, queue: str) -> int:
        """How many take calls of this queue, now or after the one they have."""
        return sum(
            queue in one.queues and one.status is Status.AVAILABLE and one.reachable for one in self.operators.values()
        )

    # ---- what they ask for, and what is seen of them

    def control(self, operator: Operator, event: Control, queues: Mapping[str, int] | None, now: float) -> bool:
        """Whether that is possible in its status. `queues` replaces those it serves."""
        status = STATUS.get((operator.status, event))
        if status is None:
            return False
        if (event is Control.LOGIN and operator.status is Status.OFFLINE) or not operator.lease_id:
            operator.lease_id, operator.epoch = self._make_id(), 0
        if event is not Control.LOGOUT and queues is not None:
            operator.queues = dict(queues)
        if event in (Control.AVAILABLE, Control.UNPAUSE, Control.LOGIN):
            operator.missed, operator.rests_until = 0, 0.0
        self.set_status(operator, status, Why.ASKED, now)
        return True

    def set_status(self, operator: Operator, status: Status, why: Why, now: float) -> None:
        """The time in the old one is counted."""
        if status is operator.status:
            return
        self._count_status(operator, now)
        if operator.status is Status.OFFLINE or operator.activity is Activity.WAITING:
            operator.idle_since = now
        if operator.status is Status.OFFLINE and operator.activity is Activity.WAITING:
            operator.did_since = now
        operator.status, operator.since = status, now
        self._say(operator, why)

    def see(self, operator: Operator, phone: Seen, now: float) -> bool:
        """What registrations and calls show. Whether that is news."""
        if (operator.reachable, operator.on_call, operator.afar) == (phone.reachable, phone.on_call, phone.afar):
            return False
        if operator.on_call and not phone.on_call:
            operator.idle_since = now
        operator.reachable, operator.on_call, operator.afar = phone.reachable, phone.on_call, phone.afar
        self._say(operator, Why.PRESENCE)
        return True

    # ---- turns

    def offer(self, operator: Operator, caller: str, queue: str, ring_s: float, now: float) -> Lease:
        """A new lease, of the next epoch."""
        operator.epoch += 1
        self._offers += 1
        operator.turn = self._offers
        operator.lease = Lease(operator.lease_id, operator.epoch, operator.name, caller, queue, now, now + ring_s)
        self.day.operator(operator.name).offered += 1
        return operator.lease

    def turn(self, operator: Operator, turn: Turn, why: Why, now: float) -> None:
        """What happens to its activity. Raises KeyError for what the table does not have: a fault of the machine."""
        operator.activity, operator.did_since = OPERATOR[operator.activity, turn], now
        self._say(operator, why)

    def released(self, operator: Operator, why: Why, most_missed: int, now: float) -> None:
        """A lease ended without a conversation. Who misses too many is paused, who did not come has a rest."""
        operator.lease = None
        if why in MISSES or why is Why.UNREACHABLE:
            operator.idle_since, operator.rests_until = now, now + REST_S
        if why not in MISSES:
            return
        operator.missed += 1
        self.day.operator(operator.name).missed += 1
        if most_missed and operator.missed >= most_missed and operator.status is Status.AVAILABLE:
            operator.missed = 0
            self.set_status(operator, Status.ON_BREAK, Why.AUTO_PAUSE, now)

    def finish(self, operator: Operator, queue: str, talked_s: float, wrap_s: float, now: float) -> None:
        """A conversation is over; what is left to write down takes a while."""
        operator.lease, operator.missed, operator.last_queue = None, 0, queue
        operator.handled += 1
        figures = self.day.operator(operator.name)
        figures.handled += 1
        figures.talked_s += talked_s
        self.turn(operator, Turn.FINISHED, Why.FINISHED, now)
        operator.wraps_until = now + wrap_s
        if wrap_s <= 0:
            self.rest(operator, now)

    def rest(self, operator: Operator, now: float) -> float:
        """Wrap-up is over; how long it was."""
        wrapped_s = now - operator.did_since
        self.day.operator(operator.name).wrapped_s += wrapped_s
        operator.idle_since = now
        self.turn(operator, Turn.RESTED, Why.RESTED, now)
        return wrapped_s

    def begin_day(self, name: str, now: float) -> Day:
        """From now on another day is counted; the one that is over."""
        for operator in self.operators.values():
            self._count_status(operator, now)
            operator.since = max(operator.since, now) if operator.status is not Status.OFFLINE else operator.since
            operator.handled = 0
        over, self.day = self.day, Day(name)
        return over

    def _count_status(self, operator: Operator, now: float) -> None:
        if operator.status is Status.OFFLINE:
            return
        figures, passed = self.day.operator(operator.name), now - operator.since
        figures.logged_in_s += passed
        if operator.status is Status.ON_BREAK:
            figures.on_break_s += passed

    def _say(self, operator: Operator, why: Why) -> None:
        self._tell(OperatorChanged(operator.name, operator.status, operator.activity, operator.reachable, why))
