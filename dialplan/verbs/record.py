"""`record: complaint`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from dialplan import command
from dialplan.command import Outcome, Reply, Sound, SoundKind
from dialplan.flow import NEXT, Branch, Move, Run, Verb, setting
from dialplan.kinds import DurationKind, Keys, Said, Variable
from dialplan.prompts import REVIEW

MAX_TAKES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Verb):
    """Record the caller, and keep the recording's id in a variable."""

    word: ClassVar[str] = "record"
    answers: ClassVar[bool] = True
    waits: ClassVar[bool] = True
    record: Variable = setting("the variable that keeps the recording", main=True)
    prompt: Said | None = setting("heard before it", None)
    max: Annotated[float, DurationKind(1, 7200)] = setting("the longest it may be", 120.0)
    silence: Annotated[float, DurationKind(1, 60)] = setting("silence that ends it", 4.0)
    terminators: Keys = setting("keys that end it", "#")
    beep: bool = setting("a beep before it", True)
    review: bool = setting("let the caller keep it, hear it or record it again", False)
    review_prompt: Said = setting("heard when it is reviewed", REVIEW)
    on_silence: Branch = setting("where to go when nothing was said", NEXT)
    on_failed: Branch = setting("where to go when nothing could be recorded", NEXT)

    def begin(self, run: Run) -> Move:
        run.memory["takes"] = 0
        return self._take(run)

    def resume(self, run: Run, reply: Reply) -> Move:
        if reply.outcome is Outcome.RECORDED:
            run.memory["recording"] = str(reply.data.get("recording", ""))
            return self._ask(run) if self.review else self._keep(run)
        if reply.outcome in (Outcome.SILENCE, Outcome.FAILED) and "recording" not in run.memory:
            return self.on_silence if reply.outcome is Outcome.SILENCE else self.on_failed
        if reply.outcome in (Outcome.DONE, Outcome.SILENCE):  # it was heard, or a further take has nothing in it
            return self._ask(run)
        pressed = reply.data.get("digits") if reply.outcome is Outcome.DIGITS else None
        if pressed == "2":
            return command.Play((Sound(SoundKind.RECORDING, run.memory["recording"], ""),))
        if pressed == "3" and run.memory["takes"] < MAX_TAKES:
            return self._take(run)
        return self._keep(run)

    def _take(self, run: Run) -> Move:
        run.memory["takes"] += 1
        return command.Record(
            run.sounds(self.prompt or ()) if run.memory["takes"] == 1 else (),
            max_s=self.max,
            silence_s=self.silence,
            terminators=self.terminators,
            beep=self.beep,
        )

    def _ask(self, run: Run) -> Move:
        return command.Gather(run.sounds(self.review_prompt), max_digits=1, terminators="")

    def _keep(self, run: Run) -> Move:
        run.assign(self.record, run.memory["recording"])
        return NEXT
