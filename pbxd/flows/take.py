"""One recording of a caller: from the beep until silence, a terminator, the longest time, or the end of the call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from media.rooms import Room
from media.session import MediaSession
from pbxd.calls.record import CallRecord
from pbxd.calls.stage import Stage
from pbxd.errors import HouseError
from pbxd.sip.timers import TimerHandle

PAUSE_S = 0.8  # wire tells of a pause when it has lasted so long
MARGIN_S = 5.0  # more than what is asked for: the end is told by the stage's clock


class Taken(Enum):
    """How a take ended."""

    RECORDED = "recorded"
    SILENCE = "silence"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Tape:
    """A recording that goes on: its id, and the file that can be played when it has ended."""

    id: str
    path: Path
    stop: Callable[[], None]


class Tapes(Protocol):
    """Who records callers: the recordings of the house."""

    def begin(
        self, record: CallRecord, room: Room, leg: MediaSession, most_s: float, on_end: Callable[[float, str], bool]
    ) -> Tape:
        """Records what is heard from `leg` from now on. When it has ended, `on_end` is given the seconds that are
        there and what was wrong with the disk, if anything, and says whether it is to be kept. Raises Unavailable."""


class Take:
    """Records the leg of a stage. `over` hears once how it ended, the recording, its seconds, and what was wrong; not
    after `abandon`."""

    def __init__(
        self, stage: Stage, record: CallRecord, tapes: Tapes, over: Callable[[Taken, Tape | None, float, str], None]
    ) -> None:
        self._stage = stage
        self._record = record
        self._tapes = tapes
        self._over: Callable[[Taken, Tape | None, float, str], None] | None = over
        self._tape: Tape | None = None
        self._silence: TimerHandle | None = None
        self._limit: TimerHandle | None = None
        self._silence_s = 0.0
        self._terminators = ""
        self._spoke = False

    def start(self, max_s: float, silence_s: float, terminators: str) -> None:
        """From now on what is heard is kept."""
        self._silence_s, self._terminators = silence_s, terminators
        stage = self._stage
        try:
            self._tape = self._tapes.begin(self._record, stage.room, stage.leg.media, max_s + MARGIN_S, self._ended)
        except HouseError as error:
            self._tell(Taken.FAILED, 0.0, error.message)
            return
        self._limit = self._stage.later(max_s, lambda _now: self.stop())
        if self._stage.talks:  # already: that is told only once
            self._spoke = True
        else:
            self._wait_for_silence(silence_s)

    def press(self, digit: str) -> bool:
        """A digit was pressed; whether it ended the recording."""
        if digit not in self._terminators:
            return False
        self.stop()
        return True

    def talk(self, talks: bool) -> None:
        """The caller began to speak, or paused."""
        if talks:
            self._spoke = True
            self._cancel_silence()
        elif self._silence_s:
            self._wait_for_silence(max(0.05, self._silence_s - PAUSE_S))

    def stop(self) -> None:
        """Ends it with what was said so far."""
        self._cancel_silence()
        if self._limit is not None:
            self._limit.cancel()
        if self._tape is not None:
            self._tape.stop()

    def abandon(self) -> None:
        """The caller has gone: what was said so far is kept, if anything was, and nobody is told."""
        self._over = None
        self.stop()

    # ---- inside

    def _wait_for_silence(self, seconds: float) -> None:
        self._cancel_silence()
        self._silence = self._stage.later(seconds, lambda _now: self.stop())

    def _cancel_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _ended(self, seconds: float, fault: str) -> bool:
        if fault and not seconds:
            self._tell(Taken.FAILED, 0.0, fault)
            return False
        self._tell(Taken.RECORDED if self._spoke else Taken.SILENCE, seconds, "")
        return self._spoke

    def _tell(self, taken: Taken, seconds: float, reason: str) -> None:
        over, self._over = self._over, None
        if over is not None:
            self.stop()
            over(taken, self._tape, seconds, reason)
