"""`say: "Hello ${caller.name}."`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan import command
from dialplan.command import SpokenAs
from dialplan.flow import Move, PromptItem, Run, Verb, setting
from dialplan.kinds import Language, Text, Voice


@dataclass(frozen=True, slots=True, kw_only=True)
class Say(Verb):
    """Say a text to its end."""

    word: ClassVar[str] = "say"
    answers: ClassVar[bool] = True
    waits: ClassVar[bool] = True
    say: Text = setting("what to say", main=True)
    as_: SpokenAs = setting("how: digits one by one, a number, a date …", SpokenAs.TEXT)
    voice: Voice | None = setting("another voice than the flow's", None)
    language: Language | None = setting("another language than the flow's", None)
    before_answer: bool = setting("say it without answering the call: the caller pays nothing yet", False)

    def begin(self, run: Run) -> Move:
        item = PromptItem(None, self.say, self.voice, self.language, self.as_)
        return command.Say(run.sounds((item,))[0], early=self.before_answer)

    @property
    def early(self) -> bool:
        return self.before_answer
