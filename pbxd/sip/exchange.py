"""What the four transactions have in common: a machine at work, its timers, and the bytes it may have to send again."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Protocol

from pbxd.sip.flow import Destination
from pbxd.sip.machine import NETWORK_EVENTS, Action, Event, Machine, State, TransitionError
from pbxd.sip.timers import TimerHandle, Timers, Timetable

Step = Callable[[Any, Any, float], None]
"""How an action is carried out: called with the transaction, the message of the event or None, and now."""


class Carrier(Protocol):
    """What carries a transaction's messages and keeps its time: the stack."""

    timers: Timers
    timetable: Timetable

    def send(self, data: bytes, destination: Destination, sender: object) -> None:
        """Hand `data` to the shell; `sender` is told if that fails."""


class Plan:
    """A machine whose actions are bound to the code that carries them out. Raises KeyError when one has none."""

    __slots__ = ("entry", "initial", "machine", "transitions")

    def __init__(self, machine: Machine, kind: type[Exchange]) -> None:
        def bound(actions: tuple[Action, ...]) -> tuple[Step, ...]:
            return tuple(_step_of(action, kind) for action in actions)

        self.machine = machine
        self.initial = machine.initial
        self.entry = bound(machine.entry)
        self.transitions = {(row.state, row.event): (row.goes_to, bound(row.actions)) for row in machine}


class Exchange:
    """One machine at work. At most two timers run: one to send again, one to end a state."""

    __slots__ = ("_data", "_deadline", "_interval", "_plan", "_resend", "carrier", "destination", "method", "state")

    def __init__(self, carrier: Carrier, plan: Plan, method: str, destination: Destination) -> None:
        self.carrier = carrier
        self.method = method
        self.destination = destination
        self.state = plan.initial
        self._plan = plan
        self._data = b""
        self._resend: TimerHandle | None = None  # Timer A, E, G, 100 or 2xx
        self._deadline: TimerHandle | None = None  # any other
        self._interval = 0.0  # of the last retransmission timer

    @property
    def dead(self) -> bool:
        return self.state is State.TERMINATED

    @property
    def machine(self) -> Machine:
        return self._plan.machine

    def __repr__(self) -> str:
        return f"<{self._plan.machine.name} {self.method} {self.state.value} {self.destination.host}>"

    def handle(self, event: Event, now: float, message: Any = None) -> bool:
        """Take the row of `event`. False: nothing happened, for the network sent what this state has no row for, or
        the transaction is dead. Raises TransitionError when the user asked for what this state has no row for."""
        transition = self._plan.transitions.get((self.state, event))
        if transition is None:
            if event in NETWORK_EVENTS or self.state is State.TERMINATED:
                return False
            raise TransitionError(f"{self!r} has no row for {event.value}")
        self.state, steps = transition
        if self.state is State.TERMINATED:
            self._stop_timers()
            self._leave()
        for step in steps:
            step(self, message, now)
        if self.state is State.TERMINATED:
            self._release()
        return True

    def _enter(self, now: float) -> None:
        """Into the first state, with its timers."""
        self.state = self._plan.initial
        for step in self._plan.entry:
            step(self, None, now)

    def _leave(self) -> None:
        """Out of the stack's tables: called before anybody is told of the end."""

    def _release(self) -> None:
        """Let go of messages and users: called after everybody was told."""

    # ---- steps of all machines, each named as its Action

    def _send_again(self, _message: object, _now: float) -> None:
        if self._data:
            self.carrier.send(self._data, self.destination, self)

    def _stop_sending(self, _message: object = None, _now: float = 0.0) -> None:
        if self._resend is not None:
            self._resend.cancel()
            self._resend = None

    def _stop_timers(self, _message: object = None, _now: float = 0.0) -> None:
        self._stop_sending()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _resend_after(self, interval: float, event: Event, now: float) -> None:
        if self._resend is not None:
            self._resend.cancel()
        self._interval = interval
        self._resend = self.carrier.timetable.schedule(now + interval, self.handle, event)

    def _end_after(self, seconds: float, event: Event, now: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.carrier.timetable.schedule(now + seconds, self.handle, event)


def _step_of(action: Action, kind: type[Exchange]) -> Step:
    """An action is a timer's, or carried out by the method of its name."""
    step: Step | None = TIMER_STEPS.get(action) or getattr(kind, f"_{action.name.lower()}", None)
    if step is None:
        raise KeyError(f"{kind.__name__} does not know how to {action.value}")
    return step


def _first(event: Event, *, reliable_too: bool = False) -> Step:
    """Send again after T1."""

    def start(exchange: Exchange, _message: object, now: float) -> None:
        if reliable_too or not exchange.destination.transport.reliable:
            exchange._resend_after(exchange.carrier.timers.t1, event, now)

    return start


def _doubled(event: Event, *, up_to_t2: bool) -> Step:
    """Send again after twice the last interval."""

    def restart(exchange: Exchange, _message: object, now: float) -> None:
        interval = exchange._interval * 2
        exchange._resend_after(min(interval, exchange.carrier.timers.t2) if up_to_t2 else interval, event, now)

    return restart


def _slowed(event: Event) -> Step:
    """Send again after T2."""

    def restart(exchange: Exchange, _message: object, now: float) -> None:
        exchange._resend_after(exchange.carrier.timers.t2, event, now)

    return restart


def _deadline(event: Event, seconds: str, *, reliable_too: bool = True) -> Step:
    """End after the named time of Timers, or at once on a reliable transport unless `reliable_too`."""
    read = attrgetter(seconds)

    def start(exchange: Exchange, _message: object, now: float) -> None:
        at_once = not reliable_too and exchange.destination.transport.reliable
        exchange._end_after(0.0 if at_once else read(exchange.carrier.timers), event, now)

    return start


# RFC 3261 table 4, with RFC 6026's L and M. B, F and the 100 depend on the transaction and are its methods.
TIMER_STEPS: dict[Action, Step] = {
    Action.START_A: _first(Event.TIMER_A),
    Action.DOUBLE_A: _doubled(Event.TIMER_A, up_to_t2=False),
    Action.START_D: _deadline(Event.TIMER_D, "timeout", reliable_too=False),
    Action.START_E: _first(Event.TIMER_E),
    Action.DOUBLE_E: _doubled(Event.TIMER_E, up_to_t2=True),
    Action.SLOW_E: _slowed(Event.TIMER_E),
    Action.START_G: _first(Event.TIMER_G),
    Action.DOUBLE_G: _doubled(Event.TIMER_G, up_to_t2=True),
    Action.START_H: _deadline(Event.TIMER_H, "timeout"),
    Action.START_I: _deadline(Event.TIMER_I, "t4", reliable_too=False),
    Action.START_J: _deadline(Event.TIMER_J, "timeout", reliable_too=False),
    Action.START_K: _deadline(Event.TIMER_K, "t4", reliable_too=False),
    Action.START_L: _deadline(Event.TIMER_L, "timeout"),
    Action.START_M: _deadline(Event.TIMER_M, "timeout"),
    Action.START_2XX: _first(Event.TIMER_2XX, reliable_too=True),
    Action.DOUBLE_2XX: _doubled(Event.TIMER_2XX, up_to_t2=True),
    Action.START_CANCEL: _deadline(Event.TIMER_CANCEL, "timeout"),
    Action.START_GIVE_UP: _deadline(Event.TIMER_GIVE_UP, "timeout"),
}
