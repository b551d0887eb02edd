"""What the house sounds like: its language, its voice, its tones, its music."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pbxd.config.section import Count, Seconds, Section, Switch
from pbxd.config.values import PathField

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[a-z0-9]{2,8}){0,2}$")]
Country = Annotated[str, Field(pattern=r"^[a-z]{2}$")]


class Voice(Section):
    words_a_minute: Annotated[int, Field(strict=True, ge=80, le=450)] = Field(
        default=160, description="how fast espeak-ng speaks"
    )
    pitch: Annotated[int, Field(strict=True, ge=0, le=99)] = Field(default=50, description="how high it speaks")
    variant: Annotated[str, Field(pattern=r"^[a-z0-9]{0,16}$")] = Field(
        default="", description="which of its voices: f1 to f5, m1 to m8; empty is its own"
    )
    piper_model: PathField | None = Field(
        default=None, description="a piper voice (.onnx) to use instead, where piper is installed"
    )


class Sound(Section):
    language: Language = Field(default="en-us", description="the language of prompts")
    country: Country = Field(default="us", description="whose tones callers hear: us, uk, de")
    voice: Voice = Field(default=Voice(), description="who says what nobody recorded")
    prompts: PathField | None = Field(
        default=None, description="folder with a folder of recordings a language; null is prompts in data_dir"
    )
    music: PathField | None = Field(
        default=None, description="folder with music for those who wait; null is music in data_dir"
    )
    music_on_hold: Switch = Field(
        default=False, description="whom a phone puts on hold hears music; false passes the hold on to its phone"
    )
    prompt_max_s: Annotated[Seconds, Field(le=7200)] = Field(default=600, description="longer recordings are refused")
    cache_mb: Annotated[Count, Field(le=100_000)] = Field(
        default=256, description="room for what was said and converted"
    )
