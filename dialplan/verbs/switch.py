"""`switch: caller.number`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan.flow import Branch, Move, Run, Verb, setting
from dialplan.kinds import Cases, Condition
from dialplan.values import as_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Verb):
    """Go where a value leads."""

    word: ClassVar[str] = "switch"
    goes_on: ClassVar[bool] = False
    switch: Condition = setting("the value", main=True)
    cases: Cases = setting("where each text leads")
    default: Branch = setting("where to go with any other")

    def begin(self, run: Run) -> Move:
        return self.cases.get(as_text(run.value(self.switch)), self.default)
