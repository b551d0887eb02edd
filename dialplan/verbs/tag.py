"""`tag: complaint`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan import command
from dialplan.flow import Move, Run, Verb, setting
from dialplan.kinds import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag(Verb):
    """Put a word on the record of this call."""

    word: ClassVar[str] = "tag"
    tag: Text = setting("the word", main=True)

    def begin(self, run: Run) -> Move:
        return command.Tag(run.text(self.tag))
