"""`wait: 2s`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from dialplan import command
from dialplan.flow import Move, Run, Verb, setting
from dialplan.kinds import DurationKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Verb):
    """Let time pass."""

    word: ClassVar[str] = "wait"
    waits: ClassVar[bool] = True
    wait: Annotated[float, DurationKind(0.1, 3600)] = setting("how long", main=True)

    def begin(self, run: Run) -> Move:
        return command.Wait(self.wait)
