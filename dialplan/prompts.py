"""Texts the language itself says, in case no recording has their name."""

from __future__ import annotations

from dialplan.flow import Prompt, PromptItem
from dialplan.template import Template

REVIEW: Prompt = (
    PromptItem(
        play=None,
        say=Template.parse("To keep your recording, press 1. To hear it, press 2. To record it again, press 3."),
    ),
)
