"""The settings of what is kept to find out what went wrong."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pbxd.config.section import Section, Switch


class Permission(StrEnum):
    """Whether something may be done at all."""

    FORBIDDEN = "forbidden"
    ALLOWED = "allowed"


class Trace(Section):
    calls: Switch = Field(default=True, description="keep what happens to every call: messages, decisions, media")
    call_kb: Annotated[int, Field(strict=True, ge=4, le=4096)] = Field(
        default=64, description="memory for one call; what is older is let go of"
    )
    message_kb: Annotated[int, Field(strict=True, ge=1, le=64)] = Field(
        default=8, description="how much is kept of one message"
    )
    memory_mb: Annotated[int, Field(strict=True, ge=1, le=4096)] = Field(
        default=64, description="memory for all calls together"
    )
    keep_days: Annotated[int, Field(strict=True, ge=0, le=3650)] = Field(
        default=7, description="days a trace stays in the store; 0 keeps none there"
    )
    store_mb: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = Field(
        default=256, description="room for traces in the store; the oldest make way"
    )
    audio: Permission = Field(
        default=Permission.FORBIDDEN, description="whether a capture that is asked for may have the sound of calls"
    )
    audio_mb: Annotated[int, Field(strict=True, ge=1, le=1024)] = Field(
        default=16, description="memory for the sound of one capture"
    )
