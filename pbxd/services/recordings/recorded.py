"""A recording as everybody sees it: what it is of, where it lies, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from media.recorder import RecordingEnd
from pbxd.config.recordings import RecordingFormat, RecordingNotice


class Channels(StrEnum):
    """What is in the file: both parties side by side or mixed, or one of them alone."""

    STEREO = "stereo"
    MIXED = "mixed"
    CALLER = "caller"
    CALLEE = "callee"


class RecordingState(StrEnum):
    RECORDING = "recording"
    PAUSED = "paused"
    FINISHING = "finishing"  # ended, and being checked or compressed
    DONE = "done"
    CUT = "cut"  # it ended before it should have; what there is can be heard
    LOST = "lost"  # there is nothing


LIVE = (RecordingState.RECORDING, RecordingState.PAUSED)
RESTARTED = "the daemon was restarted under this recording"
BROKEN = frozenset(
    {RecordingEnd.DISK_FULL.value, RecordingEnd.DISK_SLOW.value, RecordingEnd.DISK_FAILED.value, RESTARTED}
)
"""Reasons of an end that nobody wanted."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording. `call_id` is empty for that of a conference, `room` for that of a call. `path` is below the folder
    of recordings; `octets` are the file's; times are seconds since the epoch."""

    id: str
    account_id: str
    node: str
    call_id: str
    room: str
    channels: Channels
    format: RecordingFormat
    path: str
    state: RecordingState
    reason: str
    started_at: float
    ended_at: float | None = None
    seconds: float = 0.0
    octets: int = 0
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RecordingWish:
    """How something is to be recorded; None is what the configuration says."""

    channels: Channels | None = None
    format: RecordingFormat | None = None
    announce: RecordingNotice | None = None


@dataclass(frozen=True, slots=True)
class RecordingFilter:
    """Which recordings, newest first. `before` is the id of the last one already seen; times are since the epoch."""

    limit: int = 50
    before: str | None = None
    call_id: str | None = None
    room: str | None = None
    state: RecordingState | None = None
    since: float | None = None
    until: float | None = None
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordingChanged:
    """Published on the bus when a recording begins, pauses, goes on, and ends."""

    recording: Recorded
