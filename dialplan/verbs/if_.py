"""`if: tries > 3`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan.flow import NEXT, Branch, Move, Run, Verb, setting
from dialplan.kinds import Condition
from dialplan.values import truth


@dataclass(frozen=True, slots=True, kw_only=True)
class If(Verb):
    """Go one way or the other."""

    word: ClassVar[str] = "if"
    goes_on: ClassVar[bool] = False
    if_: Condition = setting("a condition", main=True)
    then: Branch = setting("where to go when it holds")
    else_: Branch = setting("where to go when it does not", NEXT)

    def begin(self, run: Run) -> Move:
        return self.then if truth(run.value(self.if_)) else self.else_
