"""`call: ask-pin`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan.flow import Enter, Move, Run, Verb, setting
from dialplan.kinds import FlowName, Values, Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Verb):
    """Run another flow and come back. It has variables of its own."""

    word: ClassVar[str] = "call"
    call: FlowName = setting("the flow", main=True)
    with_: Values | None = setting("its arguments", None)
    save: Variable | None = setting("the variable that keeps what it returns", None)

    def begin(self, run: Run) -> Move:
        return Enter(self.call, {name: run.filled(value) for name, value in (self.with_ or {}).items()}, self.save)
