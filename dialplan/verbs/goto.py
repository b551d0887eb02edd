"""`goto: welcome`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan.flow import Branch, Move, Run, Verb, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Goto(Verb):
    """Go on elsewhere."""

    word: ClassVar[str] = "goto"
    goes_on: ClassVar[bool] = False
    goto: Branch = setting("a part, or `end`", main=True)

    def begin(self, run: Run) -> Move:
        return self.goto
