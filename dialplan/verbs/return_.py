"""`return: "${pin}"`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan.flow import Leave, Move, Run, Verb, setting
from dialplan.kinds import Anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Return(Verb):
    """Go back to the flow that called this one. In a flow that nobody called, the call ends."""

    word: ClassVar[str] = "return"
    goes_on: ClassVar[bool] = False
    return_: Anything = setting("what the caller of the flow gets", None, main=True)

    def begin(self, run: Run) -> Move:
        return Leave(run.filled(self.return_))
