"""What is recorded, how, and for how long it is kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pbxd.config.section import Count, Section


class Recorded(StrEnum):
    NONE = "none"
    ALL = "all"


class RecordingChannels(StrEnum):
    STEREO = "stereo"
    MIXED = "mixed"


class RecordingFormat(StrEnum):
    WAV = "wav"
    OPUS = "opus"


class RecordingNotice(StrEnum):
    NONE = "none"
    BEEP = "beep"
    PROMPT = "prompt"


class Recordings(Section):
    calls: Recorded = Field(default=Recorded.NONE, description="which calls are recorded without being asked for")
    channels: RecordingChannels = Field(
        default=RecordingChannels.STEREO, description="each party a channel, or both mixed"
    )
    format: RecordingFormat = Field(default=RecordingFormat.WAV, description="what is kept after the call")
    announce: RecordingNotice = Field(
        default=RecordingNotice.BEEP, description="how those in the call hear that it is recorded"
    )
    max_s: Annotated[int, Field(strict=True, ge=1, le=43_200)] = Field(
        default=14_400, description="no recording is longer"
    )
    retention_days: Annotated[int, Field(strict=True, ge=0, le=36_500)] = Field(
        default=90, description="older ones are deleted; 0 is never"
    )
    quota_mb: Count = Field(default=10_000, description="room for all recordings; the oldest goes first")
    min_free_mb: Count = Field(default=500, description="with less room on the disk nothing is recorded")
