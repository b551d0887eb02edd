"""What the edge works with, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pbxd.directory.accounts import Directory
from pbxd.directory.remote import RemoteDigests
from pbxd.objects import Objects
from pbxd.services.monitor import Monitor
from pbxd.services.prompts import SystemPrompts


@dataclass(slots=True)
class MediaDesk:
    """What `/media` and `/admin/tts` work with. `message` finds the sound of the message that a call (an account's id,
    the call's) left in a mailbox; no object is larger than `most_octets`."""

    objects: Objects
    prompts: SystemPrompts
    message: Callable[[str, str], Path | None]
    most_octets: int


@dataclass(frozen=True, slots=True)
class Edge:
    """The collaborators. `wall` is the time in seconds since the epoch, `now` monotonic."""

    directory: Directory
    digests: RemoteDigests
    media: MediaDesk
    monitor: Monitor
    wall: Callable[[], float]
    now: Callable[[], float]
