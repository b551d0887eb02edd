"""The call: a relation of legs, one state table, one end.

    SETUP ──progress──> RINGING ──answer──> TALKING
      │                    │                   │
      └────────────── any end ─────────────────┴──> ENDED

Whatever ends a call goes through `Call._end`, which writes the record, stops the sound and hangs up every leg.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import auto

from pbxd.calls import causes
from pbxd.calls.bridge import RELAYED_REQUESTS, Bridge
from pbxd.calls.dial import Dial, Refused, Target, redirect_contacts
from pbxd.calls.facilities import Facilities
from pbxd.calls.info import Pressed, pressed_in
from pbxd.calls.leg import Leg, whose_doing
from pbxd.calls.peer import Arrival
from pbxd.calls.record import CallChanged, CallRecord, Change, Result, Role
from pbxd.calls.stage import Act, Stage
from pbxd.sip.message import Request
from pbxd.sip.sdp import Direction
from pbxd.sip.session import EndCause, Ending
from pbxd.sip.symbol import Symbol
from pbxd.sip.timers import TimerHandle
from pbxd.sip.transaction import ServerTransaction
from pbxd.sip.uri import Uri
from pbxd.trace import Topic, score

log = logging.getLogger(__name__)

MAX_REDIRECTS = 5


class CallState(Symbol):
    SETUP = auto()
    RINGING = auto()
    TALKING = auto()
    ENDED = auto()


class CallEvent(Symbol):
    PROGRESSED = auto()
    ANSWERED = auto()
    CHANGED = auto()
    REFUSED = auto()
    CALLER_LEFT = auto()
    CALLEE_LEFT = auto()
    NOBODY_ANSWERED = auto()
    TOO_LONG = auto()
    FELL_SILENT = auto()
    HUNG_UP = auto()


_EARLY, _TALK, _OVER = (CallState.SETUP, CallState.RINGING), CallState.TALKING, CallState.ENDED

TABLE: dict[tuple[CallState, CallEvent], CallState] = {
    (CallState.SETUP, CallEvent.PROGRESSED): CallState.RINGING,
    (CallState.RINGING, CallEvent.PROGRESSED): CallState.RINGING,
    **{(state, CallEvent.ANSWERED): _TALK for state in _EARLY},
    **{(state, CallEvent.REFUSED): _OVER for state in _EARLY},
    **{(state, CallEvent.NOBODY_ANSWERED): _OVER for state in _EARLY},
    (_TALK, CallEvent.CHANGED): _TALK,
    (_TALK, CallEvent.CALLEE_LEFT): _OVER,
    (_TALK, CallEvent.FELL_SILENT): _OVER,
    **{(state, CallEvent.CALLER_LEFT): _OVER for state in (*_EARLY, _TALK)},
    **{(state, CallEvent.TOO_LONG): _OVER for state in (*_EARLY, _TALK)},
    **{(state, CallEvent.HUNG_UP): _OVER for state in (*_EARLY, _TALK)},
}
"""An event that is not here does not happen to a call in that state: it came too late, and changes nothing."""


@dataclass(frozen=True, slots=True)
class End:
    """Why a call ended: for the record, and for the legs that are still up. `status` refuses a caller who has no
    answer yet; `q850` is told to the others."""

    result: Result
    status: int
    q850: int
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Fallback:
    """What the house does where nobody answers for `after_s`, or all refuse: `act` makes it, from the SIP status that
    the caller would have been told; None is nothing."""

    after_s: float
    act: Callable[[int], Act | None]
    arrival: Arrival | None = None


class Call:
    """One call. `caller` is the leg that began it; `reroute` finds targets for a redirected number (RFC 3261 §8.1.3.4),
    or none; `on_over` is told once."""

    def __init__(
        self,
        facilities: Facilities,
        record: CallRecord,
        *,
        reroute: Callable[[Uri], Sequence[Target]],
        on_over: Callable[[Call], None],
    ) -> None:
        self._facilities = facilities
        self._reroute = reroute
        self._on_over = on_over
        self._timers: list[TimerHandle] = []
        self._dial: Dial | None = None
        self._redirects = 0
        self.record = record
        self.state = CallState.SETUP
        self.caller: Leg | None = None
        self.callee: Leg | None = None
        self._early: Bridge | None = None
        self.bridge: Bridge | None = None
        self.stage: Stage | None = None
        self.fallback: Fallback | None = None
        self._held: frozenset[Role] = frozenset()

    def wall(self, now: float) -> float:
        """Seconds since the epoch, by the call's own clock."""
        clock = self.record.clock or self._facilities.wall
        return clock(now)

    def __repr__(self) -> str:
        return f"<Call {self.record.id} {self.record.caller} -> {self.record.called} {self.state.name}>"

    # ---- what the switch asks for

    def start(self, caller: Leg, now: float) -> None:
        """The caller's leg is here. What happens to it comes next: `echo`, `ring` or `refuse`."""
        self.caller = caller
        self._say(Change.STARTED, now)
        self._later(self._facilities.limits.max_duration_s, CallEvent.TOO_LONG, now)

    def turn_away(self, reason: str, now: float, *, status: int = 503, q850: int = causes.CONGESTION) -> None:
        """There is no room for it: nothing but its record ever was."""
        self._say(Change.STARTED, now)
        result = Result.SERVER if status == 503 else Result.CLIENT
        self._end(CallEvent.REFUSED, End(result, status, q850, reason, "house"), now)

    def echo(self, now: float) -> None:
        """Answers, and sends back what is heard."""
        assert self.caller is not None  # noqa: S101 - `start` came first
        self.caller.media.echo()
        self.answer_by_house(now)

    def perform(self, act: Act, now: float, arrival: Arrival | None = None) -> None:
        """The house itself answers, when `act` wants it to."""
        assert self.caller is not None  # noqa: S101 - `start` came first
        self.stage = Stage(self._facilities, self, self.caller, act, self._facilities.language, arrival)
        act.begin(self.stage, now)

    def answer_by_house(self, now: float) -> None:
        """Answers the caller of a stage; again is harmless."""
        state = self._next(CallEvent.ANSWERED)
        if state is None or self.caller is None:
            return
        self.state = state
        self.record.answered_at = self.wall(now)
        self.caller.answer(now)
        if self.state is CallState.TALKING:
            self._say(Change.ANSWERED, now)

    def ring(self, targets: Sequence[Target], now: float, seconds: float | None = None) -> None:
        """Rings all targets at once, for so many seconds; None is the house's patience."""
        assert self.caller is not None  # noqa: S101 - `start` came first
        most = self._facilities.limits.ring_timeout_s
        if self.fallback is None:
            self._later(most if seconds is None else min(seconds, most), CallEvent.NOBODY_ANSWERED, now)
        else:
            due = now + min(self.fallback.after_s, most)
            self._timers.append(self._facilities.stack.schedule(due, self._waited))
        self._dial = Dial(self._facilities, self, self.record, targets, self.caller.offered)
        self._dial.start(now)

    def fall_back(self, status: int, now: float) -> bool:
        """Nobody answered, or will: the house itself does, if it has something to do. False: it has not."""
        fallback, self.fallback = self.fallback, None
        if fallback is None or self._next(CallEvent.ANSWERED) is None or self.caller is None:
            return False
        act = fallback.act(status)
        if act is None:
            return False
        if self._dial is not None:
            self._dial.cancel(now)
            self._dial = None
        if self._early is not None:
            self._early.close()
            self._early = None
        self._stop_timers()
        self._later(self._facilities.limits.max_duration_s, CallEvent.TOO_LONG, now)
        self.perform(act, now, fallback.arrival)
        return True

    def refuse(self, end: End, now: float) -> None:
        """The call cannot be: no such number, no room, not allowed."""
        self._end(CallEvent.REFUSED, end, now)

    def hangup(self, now: float, *, reason: str = "hung up by the house", drain: bool = False) -> None:
        """Ends the call from any state, for the API or a stopping daemon."""
        result = Result.SERVER if drain or self.state is not CallState.TALKING else Result.SUCCESS
        self._end(CallEvent.HUNG_UP, End(result, 503 if drain else 480, causes.NORMAL_CLEARING, reason, "house"), now)

    def moved(self) -> None:
        """The stage's leg is in another room."""
        self._say(Change.MOVED, self._facilities.clock())

    def finish(
        self, now: float, *, reason: str, status: int, q850: int, result: Result | None = None, by: str = "house"
    ) -> None:
        """Ends the call from any state, for what the house does itself."""
        if result is None or (self.state is CallState.TALKING and result is not Result.SERVER):
            result = Result.SUCCESS
        self._end(CallEvent.HUNG_UP, End(result, status, q850, reason, by), now)

    # ---- a stage that calls somebody

    def open_early(self, now: float) -> None:
        """Lets a caller who is not answered hear the house."""
        if self._ringing(now) and self.caller is not None:
            self.caller.ring_with_media(183, now)

    def ring_caller(self, leg: Leg | None, status: int, now: float) -> None:
        """Tells the caller of a stage that it rings, and lets it hear `leg` where that has something to be heard."""
        if leg is not None and leg.flowing and self.caller is not None and self.caller.can_join(leg):
            self.caller.prepare_for(leg)
            if self._ringing(now):
                self.caller.ring_with_media(status, now)
            self._join(leg).connect()
        elif self._ringing(now) and self.caller is not None:
            self.caller.ring(180, now)

    def bridge_with(self, leg: Leg, now: float) -> bool:
        """Connects the caller of a stage with a leg that has answered, and answers the caller. False: they cannot hear
        each other."""
        if self.caller is None or not self.caller.can_join(leg):
            return False
        self.callee, leg.owner = leg, self
        self.bridge = self._join(leg)
        self.caller.prepare_for(leg)
        self.answer_by_house(now)
        if self.state is CallState.TALKING:
            self.bridge.connect()
        return True

    def unbridge(self, now: float) -> None:
        """The caller of a stage hears nobody but the house again."""
        if self._held:
            self._held = frozenset()
            self._say(Change.RESUMED, now)
        if self._early is not None:
            self._early.close()
        self.callee = self.bridge = self._early = None
        if self.caller is not None and self.stage is not None and not self.stage.closed:
            self.caller.follow(Direction.SENDRECV, None, now)
            self.stage.lead_back()

    def fail(self, now: float) -> None:
        """Ends the call after a fault of ours."""
        self._end(CallEvent.HUNG_UP, End(Result.SERVER, 500, causes.TEMPORARY_FAILURE, "a fault", "house"), now)

    # ---- DialOwner, LegOwner

    def leg_progressed(self, leg: Leg, status: int, now: float) -> None:
        if (state := self._next(CallEvent.PROGRESSED)) is None or self.caller is None:
            return
        first, self.state = self.state is CallState.SETUP, state
        if leg.flowing and self.caller.can_join(leg):
            self.caller.prepare_for(leg)
            self.caller.ring_with_media(status, now)
            self._join(leg).connect()
        else:
            self.caller.ring(status, now)
        if first and self.state is CallState.RINGING:
            self.record.ringing_at = self.wall(now)
            self._say(Change.RINGING, now)

    def leg_answered(self, leg: Leg, now: float) -> None:
        if leg is self.caller or (state := self._next(CallEvent.ANSWERED)) is None or self.caller is None:
            return
        self.callee = leg
        if not self.caller.can_join(leg):
            reason = "the two sides have no codec in common"
            self._end(CallEvent.REFUSED, End(Result.UPSTREAM, 488, causes.q850_of(488), reason, "house"), now)
            return
        self.state = state
        self.bridge = self._join(leg)
        self.caller.prepare_for(leg)
        self.record.answered_at = self.wall(now)
        self._stop_timers()
        self._later(self._facilities.limits.max_duration_s, CallEvent.TOO_LONG, now)
        self.caller.answer(now)
        if self.state is CallState.TALKING:
            self.bridge.connect()
            self._say(Change.ANSWERED, now)

    def leg_changed(self, leg: Leg, now: float) -> None:
        if self._next(CallEvent.CHANGED) is None or self.bridge is None:
            return
        self.bridge.mirror(leg, now)
        if self.bridge.held != self._held:
            self._held = self.bridge.held
            self._say(Change.HELD if self._held else Change.RESUMED, now)

    def leg_fell_silent(self, leg: Leg, now: float) -> None:
        if self._held:
            return
        result = Result.CLIENT if leg is self.caller else Result.UPSTREAM
        who = leg.record.role.value
        self._end(
            CallEvent.FELL_SILENT, End(result, 408, causes.RECOVERY_ON_TIMER, f"no sound from the {who}", "house"), now
        )

    def leg_pressed(self, leg: Leg, pressed: Pressed, now: float) -> None:
        if self.bridge is not None:
            self.bridge.heard_digit(leg, pressed)
        elif self.stage is not None and leg is self.stage.leg:
            self.stage.press(pressed.digit, now)

    def leg_talks(self, leg: Leg, talking: bool) -> None:
        if self.stage is not None and leg is self.stage.leg:
            self.stage.talk(talking)

    def leg_requested(self, leg: Leg, transaction: ServerTransaction, request: Request, now: float) -> None:
        pressed = pressed_in(request) if request.method == "INFO" else None
        if pressed is not None:
            leg.noticed(f"{score.DIALS}, by INFO", now)
        if pressed is not None and self.stage is not None and self.bridge is None:
            leg.session.respond(transaction, 200, now)
            self.leg_pressed(leg, pressed, now)
        elif pressed is not None and self.bridge is not None and self.bridge.press(leg, pressed):
            leg.session.respond(transaction, 200, now)
        elif request.method in RELAYED_REQUESTS and self.bridge is not None:
            self.bridge.pass_on(leg, transaction, request, now)
        else:
            leg.session.respond(transaction, _STATUS_IN_DIALOG.get(request.method, 501), now)

    def leg_ended(self, leg: Leg, ending: Ending, now: float) -> None:
        event = CallEvent.CALLER_LEFT if leg is self.caller else CallEvent.CALLEE_LEFT
        who = leg.record.role.value
        reason = f"the {who} {whose_doing(ending)}"
        company = self.stage.company if self.stage is not None else None
        if company is not None and leg is self.callee and self.state is CallState.TALKING:
            self.unbridge(now)
            company.parted(reason, now)
            return
        q850 = causes.q850_in(ending.reason_header) or causes.NORMAL_CLEARING
        if ending.cause is EndCause.REMOTE_BYE and self.state is CallState.TALKING:
            self._end(event, End(Result.SUCCESS, 200, q850, reason, who), now)
            return
        status = 487 if ending.cause is EndCause.REMOTE_CANCEL else leg.record.sip_status or 408
        result = Result.CLIENT if leg is self.caller else Result.UPSTREAM
        cause = causes.q850_in(ending.reason_header) or causes.q850_of(status)
        self._end(event, End(result, status, cause, reason, who), now)

    def dial_failed(self, refused: Refused, now: float) -> None:
        """Tries where a redirect points, if redirects are followed; else passes the best refusal to the caller."""
        if self._facilities.limits.follow_redirects and self._redirects < MAX_REDIRECTS:
            targets = self._redirected(refused)
            if targets and self.caller is not None:
                self._redirects += 1
                self._dial = Dial(self._facilities, self, self.record, targets, self.caller.offered)
                self._dial.start(now)
                return
        if self.fall_back(refused.status, now):
            return
        if refused.why is not None:
            end = End(Result.SERVER, refused.status, causes.q850_of(refused.status), refused.why, "house")
            self._end(CallEvent.REFUSED, end, now)
            return
        ending = refused.ending
        reason = f"the callee {whose_doing(ending)}" if ending else "the callee could not be reached"
        q850 = causes.q850_in(ending.reason_header if ending else None) or causes.q850_of(refused.status)
        status = causes.passed_on(refused.status)
        self._end(CallEvent.REFUSED, End(Result.UPSTREAM, status, q850, reason, "callee"), now)

    # ---- inside

    def _waited(self, now: float) -> None:
        if not self.fall_back(480, now):
            self._end(CallEvent.NOBODY_ANSWERED, _TIMED_ENDS[CallEvent.NOBODY_ANSWERED], now)

    def _redirected(self, refused: Refused) -> list[Target]:
        """Where a redirect points, each place once; one answer must not make us call a crowd."""
        places: dict[Uri, Target] = {}
        for uri in redirect_contacts(refused)[:MAX_REDIRECTS]:
            for target in self._reroute(uri):
                places.setdefault(target.uri, target)
        return list(places.values())

    def _join(self, leg: Leg) -> Bridge:
        """The bridge between the caller and `leg`: that of its early media, if it had any."""
        assert self.caller is not None  # noqa: S101 - who asks has one
        if self._early is None or self._early.callee is not leg:
            if self._early is not None:
                self._early.close()
            music = self._facilities.limits.music_on_hold
            self._early = Bridge(self._facilities.media, self.caller, leg, music=music)
        return self._early

    def _ringing(self, now: float) -> bool:
        """The caller of a stage is told that it rings; False when it is answered."""
        if (state := self._next(CallEvent.PROGRESSED)) is None:
            return False
        first, self.state = self.state is CallState.SETUP, state
        if first:
            self.record.ringing_at = self.wall(now)
            self._say(Change.RINGING, now)
        return True

    def _next(self, event: CallEvent) -> CallState | None:
        return TABLE.get((self.state, event))

    def _later(self, delay_s: float, event: CallEvent, now: float) -> None:
        end = _TIMED_ENDS[event]
        self._timers.append(self._facilities.stack.schedule(now + delay_s, lambda later: self._end(event, end, later)))

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _end(self, event: CallEvent, end: End, now: float) -> None:
        state = self._next(event)
        if state is None:
            return
        self.state = state
        try:
            self._take_leave(end, now)
        finally:  # a fault in one of them must not leave a call behind that nobody ends
            self._on_over(self)
            # What the call and its legs know of each other goes, so that they need not wait for the garbage collector
            self.caller = self.callee = self.bridge = self._early = self.stage = self._dial = None

    def _take_leave(self, end: End, now: float) -> None:
        self._stop_timers()
        record = self.record
        record.ended_at = self.wall(now)
        answered = end.result is Result.SUCCESS and record.answered_at is not None  # then 200 was the answer
        record.result, record.sip_status, record.q850 = end.result, 200 if answered else end.status, end.q850
        record.reason, record.ended_by = end.reason, end.by
        if self.stage is not None:
            self._close_stage(self.stage, now)
        if self._early is not None:
            self._early.close()
        for leg in (self.caller, self.callee):
            if leg is not None:
                leg.silence(now)
        if self._dial is not None:
            self._dial.cancel(now)
        words = end.reason if end.status == 488 else ""  # why, for who must change a setting
        for leg in (self.caller, self.callee):
            if leg is not None:
                leg.hangup(now, status=end.status, reason=causes.reason_q850(end.q850, words))
        self._say(Change.ENDED, now, f" by the {end.by}: {end.reason} ({record.sip_status}, Q.850 {end.q850})")

    def _close_stage(self, stage: Stage, now: float) -> None:
        try:
            stage.close(now)
        except Exception:  # what the house did goes wrong: nobody stays connected for it
            log.exception("what the house did in a call could not be ended", extra={"call": self.record.id})

    def _say(self, change: Change, now: float, why: str = "") -> None:
        self._facilities.tracer.note(self.record.id, Topic.STATE, change.value + why, now)
        self._facilities.bus.publish(CallChanged(change, self.record))


_TIMED_ENDS = {
    CallEvent.NOBODY_ANSWERED: End(Result.UPSTREAM, 480, causes.NO_ANSWER, "nobody answered in time", "house"),
    CallEvent.TOO_LONG: End(Result.SERVER, 480, causes.RECOVERY_ON_TIMER, "the longest duration was reached", "house"),
}

# REFER is refused until transfers are built; OPTIONS in a dialog asks whether it lives.
_STATUS_IN_DIALOG = {"REFER": 603, "OPTIONS": 200, "NOTIFY": 489, "SUBSCRIBE": 489, "PUBLISH": 489, "INFO": 200}
