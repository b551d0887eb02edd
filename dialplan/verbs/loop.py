"""`loop: 3`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from dialplan.flow import NEXT, Move, Run, Verb, setting
from dialplan.kinds import Condition, CountKind, Steps
from dialplan.values import truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop(Verb):
    """Repeat steps so many times, or as long as a condition holds, whichever ends first."""

    word: ClassVar[str] = "loop"
    loop: Annotated[int, CountKind(1, 100)] = setting("how often at most", main=True)
    while_: Condition | None = setting("go on only as long as this holds", None)
    steps: Steps = setting("what to repeat")

    def begin(self, run: Run) -> Move:
        if run.round() <= self.loop and (self.while_ is None or truth(run.value(self.while_))):
            return self.steps
        run.forget_rounds()
        return NEXT
