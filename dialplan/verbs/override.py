"""`override: office`"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from dialplan import command
from dialplan.command import Outcome, Reply
from dialplan.flow import NEXT, Branch, Move, Run, Verb, setting
from dialplan.kinds import DurationKind, ScheduleName


class OverrideTo(StrEnum):
    """What a schedule is made to say."""

    OPEN = "open"
    CLOSED = "closed"
    HOLIDAY = "holiday"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override(Verb):
    """Open or close a schedule by hand: what a *-code does."""

    word: ClassVar[str] = "override"
    override: ScheduleName = setting("the schedule", main=True)
    on_failed: Branch = setting("where to go when it could not be done")
    to: OverrideTo = setting("what it says from now on; auto follows the schedule again")
    lasts: Annotated[float, DurationKind(60, 31 * 86_400)] | None = setting("how long; until it is taken back", None)

    def begin(self, run: Run) -> Move:
        opening = None if self.to is OverrideTo.AUTO else self.to.value
        return command.SetHours(self.override, opening, run.now + self.lasts if self.lasts else None)

    def resume(self, run: Run, reply: Reply) -> Move:
        return self.on_failed if reply.outcome is Outcome.FAILED else NEXT
