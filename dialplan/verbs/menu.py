"""`menu: "For sales press 1."`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from dialplan import command
from dialplan.command import Outcome, Reply
from dialplan.flow import Branch, Move, Prompt, Run, Verb, setting
from dialplan.kinds import Choices, CountKind, DurationKind, Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu(Verb):
    """Say what can be pressed, and go where the caller chooses."""

    word: ClassVar[str] = "menu"
    answers: ClassVar[bool] = True
    waits: ClassVar[bool] = True
    goes_on: ClassVar[bool] = False
    menu: Said = setting("what the caller hears", main=True)
    choices: Choices = setting("where each key leads, `1: sales`; several digits are allowed")
    on_timeout: Branch = setting("where to go when nothing was pressed, after all retries")
    on_invalid: Branch = setting("where to go when something else was pressed, after all retries")
    retries: Annotated[int, CountKind(0, 20)] = setting("how often the menu is repeated", 2)
    timeout: Annotated[float, DurationKind(0.5, 120)] = setting("how long to wait for a key after the prompt", 5.0)
    digit_timeout: Annotated[float, DurationKind(0.5, 30)] = setting("how long to wait for a further digit", 3.0)
    barge_in: bool = setting("a key ends the prompt", True)
    timeout_prompt: Said | None = setting("heard before a repetition when nothing was pressed", None)
    invalid_prompt: Said | None = setting("heard before a repetition when something else was pressed", None)

    def begin(self, run: Run) -> Move:
        run.memory["asked"] = 1
        return self._ask(run, None)

    def resume(self, run: Run, reply: Reply) -> Move:
        if reply.outcome is Outcome.FAILED:
            return self.on_timeout
        if reply.outcome is Outcome.DIGITS:
            chosen = self.choices.get(str(reply.data.get("digits", "")))
            if chosen is not None:
                return chosen
        silent = reply.outcome is Outcome.TIMEOUT
        if run.memory["asked"] > self.retries:
            return self.on_timeout if silent else self.on_invalid
        run.memory["asked"] += 1
        return self._ask(run, self.timeout_prompt if silent else self.invalid_prompt)

    def _ask(self, run: Run, before: Prompt | None) -> Move:
        return command.Gather(
            run.sounds((*(before or ()), *self.menu)),
            max_digits=max(map(len, self.choices)),
            terminators="" if any("#" in keys for keys in self.choices) else "#",
            timeout_s=self.timeout,
            digit_timeout_s=self.digit_timeout,
            barge_in=self.barge_in,
        )
