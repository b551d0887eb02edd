"""A stage that calls somebody: rings, asks who answers, connects them with the caller, and takes the caller back.

The caller keeps what the house plays to them until a far side is heard. Where somebody has to accept the call first,
each party rings by itself, and the others go on ringing while one of them is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from media.script import BREATH, Line
from pbxd.calls import causes
from pbxd.calls.dial import Dial, Refused, Target, best_of
from pbxd.calls.facilities import Facilities
from pbxd.calls.gather import Gathered, GatherRules
from pbxd.calls.info import Pressed, pressed_in
from pbxd.calls.leg import Leg, LegOwner
from pbxd.calls.record import CallRecord, Result
from pbxd.calls.stage import Act, Stage
from pbxd.calls.stage import Host as StageHost
from pbxd.sip.message import Request
from pbxd.sip.session import EndCause, Ending
from pbxd.sip.timers import TimerHandle
from pbxd.sip.transaction import ServerTransaction
from pbxd.trace import score

ACCEPT = GatherRules(least=1, most=1, first_s=6.0, next_s=1.0, terminators="")
ACCEPTED = "1"
TRIES = 3


class Came(Enum):
    """What came of calling somebody."""

    ANSWERED = "answered"  # and they have left; the caller is still there
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `status` is the SIP status that says the same to a caller who has no answer yet."""

    came: Came
    reason: str
    status: int = 480
    by: str = ""
    talked_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How somebody is called. `waiting` is what the caller hears meanwhile, again and again; None leaves it to the
    caller's own phone, where it is not answered. `announce` is heard by who answers, before they are connected; with
    `confirm` they are asked, and press 1."""

    timeout_s: float
    announce: tuple[Line, ...] = ()
    confirm: tuple[Line, ...] = ()
    waiting: tuple[Line, ...] | None = None
    early_media: bool = True


@runtime_checkable
class Host(StageHost, LegOwner, Protocol):
    """The call of the stage."""

    def ring_caller(self, leg: Leg | None, status: int, now: float) -> None: ...

    def bridge_with(self, leg: Leg, now: float) -> bool: ...

    def unbridge(self, now: float) -> None: ...


class Summons(Protocol):
    """On whose behalf an attempt rings."""

    terms: Terms

    @property
    def record(self) -> CallRecord: ...

    @property
    def language(self) -> str: ...

    def wall(self, now: float) -> float: ...

    def progressed(self, attempt: Attempt, leg: Leg, status: int, now: float) -> None:
        """A phone rings, or is heard already."""

    def asks(self, attempt: Attempt, now: float) -> None:
        """Somebody answered, and is told who calls; may stop the attempt instead."""

    def won(self, attempt: Attempt, leg: Leg, now: float) -> None:
        """Somebody takes the call. `attempt.leg` is to be None where it is the call's own from now on."""

    def failed(self, attempt: Attempt, refused: Refused, now: float) -> None:
        """Nobody does."""


class Connection:
    """Calls `parties`, each a list of targets, from `stage`. `over` hears once how it ended, and then the stage is the
    act's again; not after `stop`."""

    def __init__(
        self,
        facilities: Facilities,
        call: Host,
        stage: Stage,
        parties: Sequence[Sequence[Target]],
        terms: Terms,
        over: Callable[[Outcome, float], None],
    ) -> None:
        self._facilities = facilities
        self._call = call
        self._stage = stage
        self._over = over
        self._timer: TimerHandle | None = None
        self._refusals: list[Refused] = []
        self._early: Attempt | None = None
        self._connected: Attempt | None = None
        self._talking_since = 0.0
        self._done = False
        self.terms = terms
        groups = parties if terms.confirm else [[target for party in parties for target in party]]
        self._attempts = [Attempt(facilities, self, group) for group in groups if group]

    @property
    def record(self) -> CallRecord:
        return self._stage.record

    @property
    def language(self) -> str:
        return self._stage.language

    def wall(self, now: float) -> float:
        return self._call.wall(now)

    def start(self, now: float) -> None:
        """Begins to ring."""
        self._stage.company = self
        if self.terms.waiting is not None:
            self._stage.open_early(now)
            self._wait()
        self._timer = self._stage.later(self.terms.timeout_s, self._ring_timeout)
        if not self._attempts:
            self._end(Outcome(Came.UNREACHABLE, "there is nobody to ring"), now)
        for attempt in tuple(self._attempts):
            attempt.start(self._stage.leg, now)

    def stop(self, now: float) -> None:
        """The caller has gone, or the act does something else: nothing rings any more."""
        self._close(now)

    # ---- Company

    def parted(self, reason: str, now: float) -> None:
        by = self._connected.party if self._connected is not None else ""
        self._end(Outcome(Came.ANSWERED, reason, 200, by, now - self._talking_since), now)

    # ---- what attempts tell

    def progressed(self, attempt: Attempt, leg: Leg, status: int, now: float) -> None:
        """A phone rings, or is heard already."""
        if self.terms.waiting is not None and not (self.terms.early_media and leg.flowing):
            return
        audible = self.terms.early_media and leg.flowing and self._early in (None, attempt)
        if audible:
            self._early = attempt
            self._stage.hush()
        self._call.ring_caller(leg if audible else None, status if audible else 180, now)
        if audible:
            self._stage.led_away()

    def asks(self, attempt: Attempt, now: float) -> None:
        """Somebody answered, and is told who calls: what was heard of them before is over."""
        if self._early is attempt:
            self._forget_early(now)

    def won(self, attempt: Attempt, leg: Leg, now: float) -> None:
        """Somebody takes the call."""
        self._cancel_timer()
        for other in tuple(self._attempts):
            if other is not attempt:
                other.stop(now, causes.COMPLETED_ELSEWHERE)
        self._attempts = [attempt]
        self._stage.hush()
        if not self._call.bridge_with(leg, now):
            leg.silence(now)
            leg.hangup(now, status=488, reason=causes.reason_q850(causes.q850_of(488)))
            self._end(Outcome(Came.FAILED, "the two sides have no codec in common", 488), now)
            return
        attempt.leg = None  # the call's own from now on
        self._connected, self._talking_since = attempt, now
        self._stage.led_away()

    def failed(self, attempt: Attempt, refused: Refused, now: float) -> None:
        """A party does not take the call."""
        if attempt not in self._attempts or self._connected is not None:
            return
        self._attempts.remove(attempt)
        self._refusals.append(refused)
        if self._early is attempt:
            self._forget_early(now)
        if not self._attempts:
            self._end(_outcome(best_of(self._refusals)), now)

    # ---- inside

    def _wait(self) -> None:
        if self.terms.waiting:
            self._stage.play(self.terms.waiting, loop=True)

    def _forget_early(self, now: float) -> None:
        self._early = None
        self._call.unbridge(now)
        if self.terms.waiting is not None:
            self._wait()

    def _ring_timeout(self, now: float) -> None:
        """Whoever is asked just now may still press 1."""
        ringing = [attempt for attempt in self._attempts if attempt.leg is None]
        for attempt in ringing:
            attempt.stop(now)
            self.failed(attempt, Refused(408, None, "nobody answered in time"), now)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self, now: float) -> None:
        self._done = True
        self._cancel_timer()
        if self._stage.company is self:
            self._stage.company = None
        for attempt in self._attempts:
            attempt.stop(now)
        self._attempts = []

    def _end(self, outcome: Outcome, now: float) -> None:
        if self._done:
            return
        self._close(now)
        if self._early is not None and self._connected is None:
            self._call.unbridge(now)
        self._early = None
        self._stage.hush()
        self._over(outcome, now)


class Attempt:
    """One ringing, and the leg that answered while it is asked. Owner of its legs until then."""

    record: CallRecord

    def __init__(self, facilities: Facilities, summons: Summons, targets: Sequence[Target]) -> None:
        self._facilities = facilities
        self._summons = summons
        self._targets = targets
        self._dial: Dial | None = None
        self._screening: Stage | None = None
        self._stopped = False
        self.record = summons.record
        self.leg: Leg | None = None
        self.party = ""

    def start(self, caller: Leg, now: float) -> None:
        self._dial = Dial(self._facilities, self, self.record, self._targets, caller.offered)
        self._dial.start(now)

    def stop(self, now: float, reason: str | None = None) -> None:
        """Nothing of it is left; nobody is told."""
        self._stopped = True
        if self._dial is not None:
            self._dial.cancel(now, reason)
        self._drop(now, reason)

    def _drop(self, now: float, reason: str | None = None) -> None:
        screening, self._screening = self._screening, None
        leg, self.leg = self.leg, None
        if screening is not None:
            screening.close(now)
        if leg is not None:
            leg.silence(now)
            leg.hangup(now, reason=reason)

    # ---- DialOwner

    def wall(self, now: float) -> float:
        return self._summons.wall(now)

    def dial_failed(self, refused: Refused, now: float) -> None:
        if not self._stopped:
            self._summons.failed(self, refused, now)

    def leg_progressed(self, leg: Leg, status: int, now: float) -> None:
        if not self._stopped:
            self._summons.progressed(self, leg, status, now)

    def leg_answered(self, leg: Leg, now: float) -> None:
        self.leg, self.party = leg, leg.record.party
        terms = self._summons.terms
        if not terms.announce and not terms.confirm:
            self._summons.won(self, leg, now)
            return
        self._summons.asks(self, now)
        if self._stopped:
            return
        act: Act = Screening(terms, self._asked)
        self._screening = Stage(self._facilities, self, leg, act, self._summons.language)
        act.begin(self._screening, now)

    def leg_changed(self, leg: Leg, now: float) -> None:
        """A hold of somebody who is asked changes nothing: wire follows by itself."""

    def leg_fell_silent(self, leg: Leg, now: float) -> None:
        """Who is asked need not speak."""

    def leg_pressed(self, leg: Leg, pressed: Pressed, now: float) -> None:
        if self._screening is not None:
            self._screening.press(pressed.digit, now)

    def leg_talks(self, leg: Leg, talking: bool) -> None:
        """Nor does it matter whether they do."""

    def leg_requested(self, leg: Leg, transaction: ServerTransaction, request: Request, now: float) -> None:
        pressed = pressed_in(request) if request.method == "INFO" else None
        leg.session.respond(transaction, 200 if request.method in ("INFO", "OPTIONS") else 501, now)
        if pressed is not None:
            leg.noticed(f"{score.DIALS}, by INFO", now)
            self.leg_pressed(leg, pressed, now)

    def leg_ended(self, leg: Leg, ending: Ending, now: float) -> None:
        if leg is self.leg and not self._stopped:
            self._drop(now)
            self._summons.failed(self, Refused(603, ending, "they hung up before they took the call"), now)

    # ---- Host of the stage where somebody is asked

    def answer_by_house(self, now: float) -> None:
        """It has answered."""

    def open_early(self, now: float) -> None:
        """It hears us already."""

    def moved(self) -> None:
        """Nothing records who is only asked."""

    def hangup(self, now: float, *, reason: str = "", drain: bool = False) -> None:
        if not self._stopped:
            self._drop(now)
            self._summons.failed(self, Refused(603, None, reason), now)

    def finish(
        self, now: float, *, reason: str, status: int, q850: int, result: Result | None = None, by: str = "house"
    ) -> None:
        self.hangup(now, reason=reason)

    def _asked(self, now: float) -> None:
        """They take the call."""
        screening, self._screening = self._screening, None
        if screening is not None:
            screening.close(now)
        if self.leg is not None:
            self._summons.won(self, self.leg, now)


class Screening:
    """Tells who answered what the call is about, and asks whether they take it."""

    def __init__(self, terms: Terms, accepted: Callable[[float], None]) -> None:
        self._terms = terms
        self._accepted = accepted
        self._tries = 0

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        lines = (BREATH, *self._terms.announce)
        if self._terms.confirm:
            self._ask(lines, now)
        else:
            stage.play(lines, lambda _whole, later: self._accepted(later))

    def digit(self, digit: str, now: float) -> None:
        """A digit into the announcement changes nothing."""

    def talking(self, talks: bool) -> None:
        """Nor does speech."""

    def leave(self, now: float) -> None:
        """Nothing is left to do."""

    def _ask(self, lines: tuple[Line, ...], now: float) -> None:
        self._tries += 1
        self._stage.ask((*lines, *self._terms.confirm), ACCEPT, self._heard, now)

    def _heard(self, _outcome: Gathered, digits: str, now: float) -> None:
        if digits == ACCEPTED:
            self._accepted(now)
        elif self._tries < TRIES and not digits:
            self._ask((), now)
        else:
            self._stage.hangup(now, "the call was not accepted")


_CAME = {
    Came.BUSY: (486, 600),
    Came.DECLINED: (403, 603, 607, 608),
    Came.NO_ANSWER: (408, 480, 487),
    Came.UNREACHABLE: (404, 410, 484, 485, 604),
}
_WORDS = {
    Came.BUSY: "it is busy",
    Came.DECLINED: "the call was declined",
    Came.NO_ANSWER: "nobody answered",
    Came.UNREACHABLE: "there is no such number",
    Came.FAILED: "the call failed",
}


def _outcome(refused: Refused) -> Outcome:
    came = next((came for came, statuses in _CAME.items() if refused.status in statuses), Came.FAILED)
    if refused.ending is not None and refused.ending.cause in (EndCause.TIMEOUT, EndCause.TRANSPORT):
        came = Came.UNREACHABLE  # the phone is not there any more, whatever was registered
    elif 300 <= refused.status < 400:
        came = Came.UNREACHABLE
    status = 480 if came is Came.NO_ANSWER else causes.passed_on(refused.status)
    return Outcome(came, refused.why or f"{_WORDS[came]} ({refused.status})", status)
