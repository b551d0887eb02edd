"""`set: {tries: "${tries + 1}"}`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan.flow import NEXT, Move, Run, Verb, setting
from dialplan.kinds import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Verb):
    """Give variables values, in the order of the file."""

    word: ClassVar[str] = "set"
    set: Values = setting("a text that is one `${…}` and nothing else keeps its kind: a number stays one", main=True)

    def begin(self, run: Run) -> Move:
        for name, value in self.set.items():
            run.assign(name, run.filled(value))
        return NEXT
