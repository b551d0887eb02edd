"""`conference: 700`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan import command
from dialplan.command import Outcome, Reply
from dialplan.flow import NEXT, Branch, Move, Run, Verb, setting
from dialplan.kinds import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Conference(Verb):
    """Put the caller into a conference room. The flow goes on when they have left it."""

    word: ClassVar[str] = "conference"
    answers: ClassVar[bool] = True
    waits: ClassVar[bool] = True
    conference: Text = setting("the room's number", main=True)
    moderator: bool = setting("the caller moderates", False)
    muted: bool = setting("the caller only listens", False)
    on_full: Branch = setting("where to go when the room is full", NEXT)
    on_locked: Branch = setting("where to go when the room is locked", NEXT)
    on_failed: Branch = setting("where to go when there is no such room, or the PIN was wrong", NEXT)

    def begin(self, run: Run) -> Move:
        return command.Conference(run.text(self.conference), moderator=self.moderator, muted=self.muted)

    def resume(self, run: Run, reply: Reply) -> Move:
        branches = {
            Outcome.FULL: self.on_full,
            Outcome.LOCKED: self.on_locked,
            Outcome.FAILED: self.on_failed,
        }
        return branches.get(reply.outcome, NEXT)
