"""`dial: 1001`"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from dialplan import command
from dialplan.command import Outcome, Reply, Ringback, Target
from dialplan.flow import HANGUP, NEXT, Branch, Move, Run, Verb, setting
from dialplan.kinds import DurationKind, Said, Text, TrunkName, Variable

_NEXT_TRUNK = (Outcome.UNREACHABLE, Outcome.FAILED)


class Strategy(StrEnum):
    """In which order a group rings."""

    SIMULTANEOUS = "simultaneous"
    SEQUENTIAL = "sequential"
    ROUND_ROBIN = "round_robin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial(Verb):
    """Ring somebody, or a group, and connect the caller with who answers. Where nobody does, the flow goes on with the
    next step, unless a branch says otherwise."""

    word: ClassVar[str] = "dial"
    waits: ClassVar[bool] = True
    goes_on: ClassVar[bool] = False
    dial: tuple[Text, ...] = setting("extensions or numbers", main=True)
    strategy: Strategy = setting(
        "all at once, one after the other, or one after the other beginning further on each time", Strategy.SIMULTANEOUS
    )
    timeout: Annotated[float, DurationKind(1, 600)] = setting("how long it rings; each, when not all at once", 25.0)
    trunk: tuple[TrunkName, ...] | None = setting(
        "trunks to go out by, each tried when the one before cannot; without one the routes decide", None
    )
    caller_id: Text | None = setting("the number that is shown; the caller's own", None)
    caller_name: Text | None = setting("the name that is shown; the caller's own", None)
    announce: Said | None = setting("heard by who answers, before they are connected", None)
    confirm: Said | None = setting("heard by who answers; they are connected when they press 1", None)
    ringback: Ringback = setting("what the caller hears while it rings", Ringback.RINGING)
    early_media: bool = setting("let the caller hear the far side before it answers", True)
    save: Variable | None = setting("the variable that keeps what came of it: answered, busy …", None)
    on_answered: Branch = setting("where to go when the conversation is over and the caller still there", HANGUP)
    on_busy: Branch = setting("where to go when it is busy", NEXT)
    on_no_answer: Branch = setting("where to go when nobody answers", NEXT)
    on_declined: Branch = setting("where to go when the call is declined", NEXT)
    on_unreachable: Branch = setting("where to go when no phone is registered, or there is no such number", NEXT)
    on_failed: Branch = setting("where to go when anything else is wrong", NEXT)

    def begin(self, run: Run) -> Move:
        numbers = [number for number in (run.text(target).strip() for target in self.dial) if number]
        run.memory.update(turns=[], trunk=0)
        if not numbers:
            return self._branch(run, Outcome.UNREACHABLE)
        if self.strategy is Strategy.SIMULTANEOUS:
            run.memory["turns"] = [numbers]
        else:
            run.memory["turns"] = [[number] for number in numbers]
        if self.strategy is Strategy.ROUND_ROBIN and len(numbers) > 1:
            run.memory["rotating"] = True
            return command.Rotate(run.step_id, len(numbers))
        return self._ring(run)

    def resume(self, run: Run, reply: Reply) -> Move:
        if run.memory.pop("rotating", False):
            return self._rotated(run, reply)
        if reply.outcome is Outcome.ANSWERED:
            return self._branch(run, Outcome.ANSWERED)
        if reply.outcome in _NEXT_TRUNK and run.memory["trunk"] + 1 < len(self.trunk or ()):
            run.memory["trunk"] += 1
            return self._ring(run)
        run.memory["turns"] = run.memory["turns"][1:]
        run.memory["trunk"] = 0
        return self._ring(run) if run.memory["turns"] else self._branch(run, reply.outcome)

    def _rotated(self, run: Run, reply: Reply) -> Move:
        turns = run.memory["turns"]
        index = reply.data.get("index")
        begin = index % len(turns) if isinstance(index, int) else 0
        run.memory["turns"] = turns[begin:] + turns[:begin]
        return self._ring(run)

    def _ring(self, run: Run) -> Move:
        trunk = self.trunk[run.memory["trunk"]] if self.trunk else None
        return command.Dial(
            tuple(Target(number, trunk) for number in run.memory["turns"][0]),
            timeout_s=self.timeout,
            caller_id=run.text(self.caller_id) if self.caller_id else None,
            caller_name=run.text(self.caller_name) if self.caller_name else None,
            announce=run.sounds(self.announce or ()),
            confirm=run.sounds(self.confirm or ()),
            ringback=self.ringback,
            early_media=self.early_media,
        )

    def _branch(self, run: Run, outcome: Outcome) -> Branch:
        if self.save:
            run.assign(self.save, outcome.value)
        return {
            Outcome.ANSWERED: self.on_answered,
            Outcome.BUSY: self.on_busy,
            Outcome.NO_ANSWER: self.on_no_answer,
            Outcome.DECLINED: self.on_declined,
            Outcome.UNREACHABLE: self.on_unreachable,
        }.get(outcome, self.on_failed)
