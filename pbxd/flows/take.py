"""One recording of a caller: from the beep until silence, a terminator, the longest time, or the end of the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

from media.recorder import Channel, Recording, RecordingEnd
from media.rooms import Tap
from media.sound import NARROW_HZ
from pbxd.calls.stage import Stage
from pbxd.sip.timers import TimerHandle

PAUSE_S = 0.8  # wire tells of a pause when it has lasted so long
MARGIN_S = 5.0  # more than what is asked for: the end is told by the stage's clock


class Taken(Enum):
    """How a take ended."""

    RECORDED = "recorded"
    SILENCE = "silence"
    FAILED = "failed"


class Writes(Protocol):
    """What writes taps down (media.recorder)."""

    def start(
        self,
        path: Path,
        taps: Sequence[Channel],
        rate: int,
        most_seconds: float,
        on_end: Callable[[Recording], None],
    ) -> Recording: ...


class Take:
    """Records the leg of a stage to `path`. `soon` runs what it is given in the event loop's thread; `over` hears how
    it ended and the seconds that were written, once, after the file is whole; not after `abandon`."""

    def __init__(
        self,
        stage: Stage,
        path: Path,
        recorder: Writes,
        soon: Callable[[Callable[[], None]], None],
        over: Callable[[Taken, float, str], None],
    ) -> None:
        self._stage = stage
        self._recorder = recorder
        self._soon = soon
        self._over: Callable[[Taken, float, str], None] | None = over
        self._tap: Tap | None = None
        self._recording: Recording | None = None
        self._silence: TimerHandle | None = None
        self._limit: TimerHandle | None = None
        self._silence_s = 0.0
        self._terminators = ""
        self._spoke = False
        self.path = path

    def start(self, max_s: float, silence_s: float, terminators: str) -> None:
        """From now on what is heard is kept."""
        self._silence_s, self._terminators = silence_s, terminators
        self._tap = self._stage.room.tap(self._stage.leg.media, seconds=5)
        try:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self._recording = self._recorder.start(self.path, [self._tap], NARROW_HZ, max_s + MARGIN_S, self._ended)
        except OSError as error:
            self._tap.close()
            self._tell(Taken.FAILED, 0.0, error.strerror or "the disk failed")
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
        if self._tap is not None:
            self._tap.close()
        if self._recording is not None:
            self._recording.stop()

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

    def _ended(self, recording: Recording) -> None:
        """In the recorder's thread."""
        self._soon(lambda: self._settle(recording))

    def _settle(self, recording: Recording) -> None:
        if self._tap is not None:
            self._tap.close()
        failed = recording.end in _DISK and not recording.seconds
        if failed or not self._spoke:
            self.path.unlink(missing_ok=True)
        if failed and recording.end is not None:
            self._tell(Taken.FAILED, 0.0, recording.end.value)
        elif not self._spoke:
            self._tell(Taken.SILENCE, 0.0, "")
        else:
            self._tell(Taken.RECORDED, recording.seconds, "")

    def _tell(self, taken: Taken, seconds: float, reason: str) -> None:
        over, self._over = self._over, None
        if over is not None:
            self.stop()
            over(taken, seconds, reason)


_DISK = (RecordingEnd.DISK_FAILED, RecordingEnd.DISK_FULL)
