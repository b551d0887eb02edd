"""`hangup: busy`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan import command
from dialplan.command import Cause
from dialplan.flow import Move, Run, Verb, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup(Verb):
    """End the call. The cause is what the caller is told; it matters when the call was not answered."""

    word: ClassVar[str] = "hangup"
    goes_on: ClassVar[bool] = False
    hangup: Cause = setting("why", Cause.NORMAL, main=True)

    def begin(self, run: Run) -> Move:
        return command.Hangup(self.hangup)
