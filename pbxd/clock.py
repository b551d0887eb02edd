"""What time it is, for people: seconds since the epoch. Nothing that has a deadline asks for it; that is monotonic."""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_S = 2.0  # more than any slewing does in the second between two beats


class WallClock:
    """The wall clock by today's setting, and how often that was changed under us."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.jumps = 0
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def at(self, now: float) -> float:
        """Seconds since the epoch at the monotonic time `now`."""
        return self._wall() - self._monotonic() + now

    def beat(self) -> float:
        """By how many seconds somebody set the clock since the last beat; 0 where it only ran. Due every second."""
        offset = self._wall() - self._monotonic()
        by, self._offset = offset - self._offset, offset
        if abs(by) < JUMP_S:
            return 0.0
        self.jumps += 1
        return by
