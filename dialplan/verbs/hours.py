"""`hours: office`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan.flow import Branch, Move, Run, Verb, setting
from dialplan.hours import Opening
from dialplan.kinds import ScheduleName


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours(Verb):
    """Go one way in opening hours and another outside of them."""

    word: ClassVar[str] = "hours"
    goes_on: ClassVar[bool] = False
    hours: ScheduleName = setting("the schedule: one of this flow, or of schedules.yaml", main=True)
    open: Branch = setting("where to go in opening hours")
    closed: Branch = setting("where to go outside of them")
    holiday: Branch | None = setting("where to go on a holiday; as when closed", None)

    def begin(self, run: Run) -> Move:
        opening = run.opening(self.hours)
        if opening is Opening.OPEN:
            return self.open
        return self.holiday if opening is Opening.HOLIDAY and self.holiday else self.closed
