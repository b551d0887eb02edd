"""`answer`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan.flow import NEXT, Move, Run, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Verb):
    """Answer the call. Rarely needed: whatever has to be heard answers first."""

    word: ClassVar[str] = "answer"
    answers: ClassVar[bool] = True  # the machine does it, and never twice

    def begin(self, run: Run) -> Move:
        return NEXT
