"""Whether the wire thread turns: it cannot say itself that it does not."""

from __future__ import annotations

from typing import Protocol

STALLED_AFTER_S = 1.0  # a turn takes microseconds


class Turning(Protocol):
    """What has a pulse."""

    def pulse(self) -> int:
        """How many turns were made; asks for another."""


class Pulse:
    """`beat` is due every second: it asks for a turn, and looks whether the one asked for before was made.

    An interpreter that is late itself sees no stall: the turn it asked for was made meanwhile. `stalls` counts.
    """

    def __init__(self, turning: Turning) -> None:
        self.stalled_s = 0.0
        self.stalls = 0
        self._turning = turning
        self._turns: int | None = None
        self._asked = 0.0

    @property
    def stalled(self) -> bool:
        return self.stalled_s > 0.0

    def beat(self, now: float) -> bool:
        """Whether `stalled` has just changed."""
        before, turns = self.stalled, self._turning.pulse()
        if turns != self._turns:
            self._turns, self._asked, self.stalled_s = turns, now, 0.0
        elif now - self._asked >= STALLED_AFTER_S:
            self.stalled_s = now - self._asked
            self.stalls += not before
        return self.stalled is not before
