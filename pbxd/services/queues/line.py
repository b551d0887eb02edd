"""One caller in a queue: hears music and where they stand, while operators' phones ring; then talks to one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dialplan.command import Outcome
from media.rooms import Clip
from media.script import BREATH, Line, Prompt, Signal
from media.tones import Tone
from pbxd.calls import causes
from pbxd.calls.connection import Attempt, Host, Terms
from pbxd.calls.dial import Refused
from pbxd.calls.facilities import Facilities
from pbxd.calls.identity import Caller
from pbxd.calls.leg import Leg
from pbxd.calls.record import CallRecord, Result
from pbxd.calls.stage import Stage
from pbxd.calls.studio import Unreadable
from pbxd.calls.targets import targets_of_user
from pbxd.directory.model import Account, Aor
from pbxd.services.queues.model import Exit, Lease, Left, QueueRules, Why
from pbxd.sip.session import EndCause
from pbxd.trace import Topic

MINUTE_S = 60.0
_WHY = {408: Why.NO_ANSWER, 487: Why.NO_ANSWER, 404: Why.UNREACHABLE, 410: Why.UNREACHABLE, 503: Why.UNREACHABLE}
_FAREWELL = {
    Exit.TIMEOUT: "all-busy-later",
    Exit.NO_AGENTS: "no-agents",
    Exit.QUEUE_FULL: "all-busy-later",
    Exit.EWT: "all-busy-later",
}
OUTCOMES = {
    Exit.ANSWERED: Outcome.ANSWERED,
    Exit.TIMEOUT: Outcome.TIMEOUT,
    Exit.ABANDON: Outcome.ABANDON,
    Exit.NO_AGENTS: Outcome.NO_AGENTS,
    Exit.QUEUE_FULL: Outcome.QUEUE_FULL,
    Exit.EWT: Outcome.EWT,
    Exit.DIGIT: Outcome.DIGITS,
    Exit.INTERRUPTED: Outcome.FAILED,
}


class Desk(Protocol):
    """The queues, as one caller's line knows them."""

    @property
    def facilities(self) -> Facilities: ...

    def music(self, account_id: str, rules: QueueRules) -> Sequence[Line]: ...

    def enter(self, line: QueueLine, now: float) -> Exit | None:
        """The caller waits from now on; or may not."""

    def leave(self, line: QueueLine, exit_: Exit, now: float) -> None: ...

    def confirm(self, line: QueueLine, lease: Lease, now: float) -> bool: ...

    def connected(self, line: QueueLine, lease: Lease, now: float) -> bool: ...

    def failed(self, line: QueueLine, lease: Lease, why: Why, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Wishes:
    """How one call wants to wait. None is as the queue has it. `direct`: it was dialled, and ends with the queue."""

    priority: int = 0
    wait_when_empty: bool | None = None
    leave_digit: str | None = None
    direct: bool = False


class Ringing:
    """The phones of one operator, rung for one offer."""

    def __init__(self, line: QueueLine, lease: Lease, terms: Terms) -> None:
        self._line = line
        self.lease = lease
        self.terms = terms
        self.attempt: Attempt | None = None

    @property
    def record(self) -> CallRecord:
        return self._line.record

    @property
    def language(self) -> str:
        return self._line.language

    def wall(self, now: float) -> float:
        return self._line.wall(now)

    def progressed(self, attempt: Attempt, leg: Leg, status: int, now: float) -> None:
        """The caller hears music, whatever the phone does."""

    def asks(self, attempt: Attempt, now: float) -> None:
        if not self._line.take(self, now):
            attempt.stop(now)

    def won(self, attempt: Attempt, leg: Leg, now: float) -> None:
        if self._line.take(self, now):
            self._line.connect(self, attempt, leg, now)
        else:
            attempt.stop(now)

    def failed(self, attempt: Attempt, refused: Refused, now: float) -> None:
        gone = refused.ending is not None and refused.ending.cause in (EndCause.TIMEOUT, EndCause.TRANSPORT)
        self._line.lost(self, Why.UNREACHABLE if gone else _WHY.get(refused.status, Why.DECLINED), now)


class QueueLine:
    """The act of one caller. In a flow it gives the stage back by hanging up; `outcome` says then what came of it."""

    def __init__(
        self, desk: Desk, account: Account, rules: Callable[[], QueueRules], record: CallRecord, wishes: Wishes
    ) -> None:
        self._desk = desk
        self._rules = rules
        self._wishes = wishes
        self._ringing: dict[str, Ringing] = {}  # by operator
        self._claimed: Ringing | None = None
        self._held: Lease | None = None  # of who claimed the call
        self._talks = False
        self._over = False
        self._began = 0.0
        self.account = account
        self.queue = rules().name
        self.record = record
        self.exit: Exit | None = None
        self.digits = ""
        self.remote = False
        self.waited_s = 0.0

    @property
    def wishes(self) -> Wishes:
        return self._wishes

    @property
    def outcome(self) -> Outcome:
        """Once it has hung up."""
        return OUTCOMES[self.exit or Exit.ABANDON]

    @property
    def language(self) -> str:
        return self._stage.language

    @property
    def ringing(self) -> list[str]:
        """Operators whose phones ring, or who are told of the call."""
        return list(self._ringing)

    def wall(self, now: float) -> float:
        return self._host.wall(now)

    # ---- Act

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        self.record.queue = self.queue
        if not isinstance(stage.host, Host):
            stage.hangup(now, "nobody can be connected from here")
            return
        self._host: Host = stage.host
        stage.answer(now)
        if stage.closed:
            return
        self._began = now
        self._play_music()
        self._desk.enter(self, now)

    def digit(self, digit: str, now: float) -> None:
        wanted = self._rules().leave_digit if self._wishes.leave_digit is None else self._wishes.leave_digit
        if digit in wanted and not self._talks and self._held is None:
            self.digits = digit
            self._desk.leave(self, Exit.DIGIT, now)

    def talking(self, talks: bool) -> None:
        """Who waits may speak."""

    def leave(self, now: float) -> None:
        self._over = True
        self._desk.leave(self, Exit.ABANDON, now)

    # ---- Company

    def parted(self, reason: str, now: float) -> None:
        """The operator has hung up."""
        self._desk.leave(self, Exit.ANSWERED, now)

    # ---- what the queue decides

    def offer(self, lease: Lease, now: float) -> None:
        """Rings an operator's phones."""
        facilities, record = self._desk.facilities, self.record
        targets = targets_of_user(facilities, lease.operator, self._shown(), self.account, now, headers=self._headers())
        ringing = Ringing(self, lease, self._terms())
        if not targets:
            self._desk.failed(self, lease, Why.UNREACHABLE, now)
            return
        ringing.attempt = Attempt(facilities, ringing, targets)
        self._ringing[lease.operator] = ringing
        facilities.tracer.note(record.id, Topic.DECISION, f"{self.queue} offers the call to {lease.operator}", now)
        ringing.attempt.start(self._stage.leg, now)

    def withdraw(self, lease: Lease, why: Why, now: float) -> None:
        """Rings no more."""
        ringing = self._ringing.get(lease.operator)
        if ringing is None or ringing.lease.epoch != lease.epoch:
            return
        self._drop(ringing, causes.COMPLETED_ELSEWHERE if why is Why.TAKEN else None, now)

    def claim(self, lease: Lease, now: float) -> None:
        """This operator has the call. Whose phone does not ring yet is rung, as soon as there is one."""
        self._held = lease
        ringing = self._ringing.get(lease.operator)
        if ringing is None and self._desk.facilities.registrar.bindings(Aor(self.account.id, lease.operator), now):
            self.offer(lease, now)
            ringing = self._ringing.get(lease.operator)
        if ringing is not None:
            ringing.lease = lease
            self._claimed = ringing

    def look(self, now: float) -> None:
        """Now and then: has the phone of who claimed the call come?"""
        if self._held is not None and self._claimed is None and not self._talks:
            self.claim(self._held, now)

    def announce(self, position: int, expected_s: float | None, now: float) -> None:
        """Says where the caller stands, and goes on with the music."""
        del now
        if self._over or self._talks:
            return
        lines: list[Line] = [BREATH]
        lines.append(Prompt("queue-next") if position == 1 else _count("queue-position", "position", position))
        if expected_s is not None and expected_s > 0:
            minutes = max(1, round(expected_s / MINUTE_S))
            lines.append(Prompt("queue-wait-one") if minutes == 1 else _count("queue-wait", "minutes", minutes))
        self._stage.play(lines, lambda _whole, _now: self._play_music())

    def left(self, event: Left, now: float) -> None:
        """The caller is out of the queue."""
        self.exit = event.exit
        record = self.record
        record.queue_exit, record.queue_wait_s = event.exit.value, round(event.waited_s, 3)
        for ringing in tuple(self._ringing.values()):
            self._drop(ringing, None, now)
        self._claimed = self._held = None
        if not self._over and not self._stage.closed:
            self._over = True
            self._give_back(event.exit, now)

    # ---- what phones do

    def take(self, ringing: Ringing, now: float) -> bool:
        """Somebody has answered. Whether the caller is theirs."""
        if self._claimed is ringing:
            return True
        if self._claimed is not None or not self._desk.confirm(self, ringing.lease, now):
            self._ringing.pop(ringing.lease.operator, None)
            return False
        self._claimed = ringing
        return True

    def connect(self, ringing: Ringing, attempt: Attempt, leg: Leg, now: float) -> None:
        """They hear each other."""
        self._stage.hush()
        if not self._host.bridge_with(leg, now):
            attempt.stop(now, causes.reason_q850(causes.q850_of(488)))
            self.lost(ringing, Why.UNREACHABLE, now)
            return
        attempt.leg = None  # the call's own from now on
        self._ringing.pop(ringing.lease.operator, None)
        self._talks = True
        self._stage.company = self
        self._stage.led_away()
        self.record.operator = ringing.lease.operator
        self._desk.connected(self, ringing.lease, now)

    def lost(self, ringing: Ringing, why: Why, now: float) -> None:
        """A phone refuses, has died, or was hung up before they were connected."""
        self._ringing.pop(ringing.lease.operator, None)
        if self._claimed is ringing:
            self._claimed = None
        if not self._over:
            self._desk.failed(self, ringing.lease, why, now)

    def returned(self, lease: Lease, now: float) -> None:
        """Who had the caller did not come: it waits on."""
        ringing = self._ringing.get(lease.operator)
        if ringing is not None:
            self._drop(ringing, None, now)
        self._claimed = self._held = None

    # ---- inside

    def _drop(self, ringing: Ringing, reason: str | None, now: float) -> None:
        self._ringing.pop(ringing.lease.operator, None)
        if self._claimed is ringing:
            self._claimed = None
        if ringing.attempt is not None:
            ringing.attempt.stop(now, reason)

    def _give_back(self, exit_: Exit, now: float) -> None:
        self._stage.company = None
        reason = f"left the queue {self.queue}: {exit_.value}"
        farewell = _FAREWELL.get(exit_) if self._wishes.direct else None
        if farewell is None:
            if self._wishes.direct and exit_ is Exit.ANSWERED:
                self._stage.finish(
                    now, reason="the operator hung up", status=480, q850=16, result=Result.SUCCESS, by="callee"
                )
            else:
                self._stage.hangup(now, reason)
            return
        self._stage.play((BREATH, Prompt(farewell), BREATH), lambda _whole, later: self._stage.hangup(later, reason))

    def _play_music(self) -> None:
        """From where it would be by now: a caller who was told something has missed no more than that."""
        lines = tuple(self._desk.music(self.account.id, self._rules()))
        if not lines:
            self._wait_with((Signal(Tone.RINGBACK),), 0.0)
            return

        def ready(clips: list[Clip] | Unreadable) -> None:
            length_s = 0.0 if isinstance(clips, Unreadable) else sum(clip.seconds for clip in clips)
            began = 0.0 if self._rules().same_music else self._began
            since_s = self._desk.facilities.clock() - began
            self._wait_with(lines, since_s % length_s if length_s else 0.0)

        self._desk.facilities.studio.prepare(lines, self.language, self._stage.rate, ready)

    def _wait_with(self, lines: tuple[Line, ...], start_s: float) -> None:
        if not self._over and not self._talks and not self._stage.closed:
            self._stage.play(lines, loop=True, start_ms=int(start_s * 1000))

    def _terms(self) -> Terms:
        rules = self._rules()
        whisper = (Prompt("whisper-queue", (("queue", rules.title or rules.name),)),) if rules.whisper else ()
        accept = (Prompt("confirm-accept"),) if rules.accept else ()
        return Terms(rules.ring_s, whisper, accept, waiting=(), early_media=False)

    def _shown(self) -> Caller:
        """The operator's phone shows the queue and the caller."""
        rules, record = self._rules(), self.record
        arrival = self._stage.arrival
        private = arrival.peer.caller.private if arrival is not None else False
        name = rules.title or rules.name
        shown = "" if private else record.caller_name or record.caller
        return Caller(record.caller, f"{name}: {shown}" if shown else name, private)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        waited_s = max(0.0, self.wall(self._desk.facilities.clock()) - self.record.started_at)
        return (("X-Queue", self.queue), ("X-Queue-Wait", str(round(waited_s))), ("X-Call", self.record.id))


def _count(prompt: str, word: str, number: int) -> Prompt:
    return Prompt(prompt, ((word, str(number)),))
