"""What the edge works with, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pbxd.directory.accounts import Directory
from pbxd.directory.remote import RemoteDigests


@dataclass(frozen=True, slots=True)
class Edge:
    """The collaborators. `wall` is the time in seconds since the epoch, `now` monotonic."""

    directory: Directory
    digests: RemoteDigests
    wall: Callable[[], float]
    now: Callable[[], float]
