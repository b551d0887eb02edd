"""`play: welcome`"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dialplan import command
from dialplan.flow import Move, PromptItem, Run, Verb, setting
from dialplan.kinds import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Play(Verb):
    """Play recorded prompts to their end, one after the other."""

    word: ClassVar[str] = "play"
    answers: ClassVar[bool] = True
    waits: ClassVar[bool] = True
    play: tuple[Text, ...] = setting("names of prompts", main=True)
    before_answer: bool = setting("play it without answering the call: the caller pays nothing yet", False)

    def begin(self, run: Run) -> Move:
        sounds = run.sounds(tuple(PromptItem(play=name, say=None) for name in self.play))
        return command.Play(sounds, early=self.before_answer)

    @property
    def early(self) -> bool:
        return self.before_answer
