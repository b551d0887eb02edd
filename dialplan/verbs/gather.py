"""`gather: "Please enter your customer number."`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from dialplan import command
from dialplan.command import GatherInput, Outcome, Reply
from dialplan.flow import NEXT, Branch, Move, Prompt, Run, Verb, setting
from dialplan.kinds import CountKind, DurationKind, Keys, Said, Shape, Text, Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather(Verb):
    """Ask for digits, or for words where speech-in is installed, and keep them in a variable."""

    word: ClassVar[str] = "gather"
    answers: ClassVar[bool] = True
    waits: ClassVar[bool] = True
    gather: Said = setting("what the caller hears", main=True)
    save: Variable = setting("the variable that keeps what was entered")
    on_timeout: Branch = setting("where to go when nothing was entered, after all retries")
    on_invalid: Branch = setting("where to go when what was entered is not right, after all retries")
    min_digits: Annotated[int, CountKind(1, 64)] = setting("fewer are invalid", 1)
    max_digits: Annotated[int, CountKind(1, 64)] = setting("so many end it at once", 20)
    terminators: Keys = setting("keys that end it; empty for none", "#")
    pattern: Shape | None = setting("what the whole must look like, `[0-9]{4}`; anything else is invalid", None)
    retries: Annotated[int, CountKind(0, 20)] = setting("how often it is asked again", 2)
    timeout: Annotated[float, DurationKind(0.5, 120)] = setting("how long to wait for the first digit or word", 5.0)
    digit_timeout: Annotated[float, DurationKind(0.5, 30)] = setting("how long to wait for a further digit", 3.0)
    barge_in: bool = setting("a key, or a voice, ends the prompt", True)
    input: GatherInput = setting("what counts as an answer", GatherInput.DIGITS)
    phrases: tuple[Text, ...] | None = setting("words that speech-in should expect", None)
    timeout_prompt: Said | None = setting("heard before it is asked again when nothing was entered", None)
    invalid_prompt: Said | None = setting("heard before it is asked again when it was not right", None)

    def begin(self, run: Run) -> Move:
        run.memory["asked"] = 1
        return self._ask(run, None)

    def resume(self, run: Run, reply: Reply) -> Move:
        if reply.outcome is Outcome.FAILED:
            return self.on_timeout
        entered = str(reply.data.get("text" if reply.outcome is Outcome.SPEECH else "digits", ""))
        invalid = reply.outcome is Outcome.INVALID
        silent = not invalid and (reply.outcome is Outcome.TIMEOUT or not entered)
        if not silent and not invalid and self._right(reply.outcome, entered):
            run.assign(self.save, entered)
            return NEXT
        if run.memory["asked"] > self.retries:
            return self.on_timeout if silent else self.on_invalid
        run.memory["asked"] += 1
        return self._ask(run, self.timeout_prompt if silent else self.invalid_prompt)

    def _right(self, outcome: Outcome, entered: str) -> bool:
        if outcome is Outcome.DIGITS and not self.min_digits <= len(entered) <= self.max_digits:
            return False
        return self.pattern is None or self.pattern.matches(entered)

    def _ask(self, run: Run, before: Prompt | None) -> Move:
        return command.Gather(
            run.sounds((*(before or ()), *self.gather)),
            max_digits=self.max_digits,
            min_digits=self.min_digits,
            terminators=self.terminators,
            timeout_s=self.timeout,
            digit_timeout_s=self.digit_timeout,
            barge_in=self.barge_in,
            input=self.input,
            phrases=tuple(run.text(phrase) for phrase in self.phrases or ()),
        )

    def wrong(self) -> str | None:
        """What does not fit together."""
        if self.min_digits > self.max_digits:
            return "min_digits is larger than max_digits"
        return None
