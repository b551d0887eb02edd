"""Writes down what taps hear: one thread for all recordings, so that a slow disk is nobody's but its own.

The taps of one recording are its channels. They lie side by side by the number of their tick; where one has nothing,
there is silence. A tap that overran has lost sound because the disk could not follow: the recording ends there, whole.
Files are opened, written and closed in that thread only: whoever starts a recording waits for no disk.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from media.rooms import TapFrame
from media.sound import Samples
from media.wav import WavWriter

log = logging.getLogger(__name__)

INTERVAL_S = 0.25
CHECKPOINT_TURNS = 20  # how often the header of a growing file is made true: every 5 s
LAGGARD_TICKS = 50  # a channel that is silent for so long is not waited for
TICKS_A_SECOND = 50

Ticks = npt.NDArray[np.uint64]


class Channel(Protocol):
    """A tap as the recorder sees it, whose thread is the only one that reads it."""

    @property
    def overruns(self) -> int:
        """Frames lost because nobody read."""

    def read(self) -> list[TapFrame]:
        """Up to a second of what came since the last time; empty when there is nothing."""


class RecordingEnd(Enum):
    """Why a recording ended."""

    STOPPED = "stopped"
    TOO_LONG = "too long"
    DISK_FULL = "the disk is full"
    DISK_SLOW = "the disk is too slow"
    DISK_FAILED = "the disk failed"


@dataclass(slots=True)
class _Buffered:
    """What one channel gave and has not been written yet."""

    tap: Channel
    ticks: Ticks
    samples: Samples

    def take_in(self) -> None:
        while frames := self.tap.read():
            pcm = np.frombuffer(b"".join(frame.pcm for frame in frames), np.int16)
            self.ticks = np.concatenate([self.ticks, np.array([frame.tick for frame in frames], np.uint64)])
            self.samples = np.concatenate([self.samples, pcm.reshape(len(frames), -1)])


class Recording:
    """One recording that goes on, or has ended: then `end` says why. Made by `Recorder.start`. A `mixed` one has one
    channel, the sum of its taps."""

    def __init__(
        self,
        path: Path,
        taps: Sequence[Channel],
        rate: int,
        most_seconds: float,
        on_end: Callable[[Recording], None],
        *,
        mixed: bool = False,
    ) -> None:
        self.path = path
        self.rate = rate
        self.mixed = mixed
        self.width = 1 if mixed else len(taps)
        self.end: RecordingEnd | None = None
        self._most_seconds = most_seconds
        self._on_end = on_end
        self._frame = rate // TICKS_A_SECOND
        self._channels = self._buffered(taps)
        self._next_tick: int | None = None
        self._turns = 0
        self._stopping = False
        self._followers: deque[Sequence[Channel]] = deque()
        self._writer: WavWriter | None = None

    @property
    def seconds(self) -> float:
        """How much of it is written."""
        return self._writer.seconds if self._writer is not None else 0.0

    @property
    def octets(self) -> int:
        """Of samples, without the header."""
        return self._writer.octets if self._writer is not None else 0

    def follow(self, taps: Sequence[Channel]) -> None:
        """Goes on with other taps, as many as before, once those it has are empty: its parties have moved to another
        room. With none it pauses: what is said meanwhile is nowhere. From any thread."""
        self._followers.append(tuple(taps))

    def stop(self) -> None:
        """Ends it with what the taps still hold; `on_end` follows from the recorder's thread. Twice does nothing."""
        self._stopping = True

    def turn(self) -> None:
        """Writes what has come. In the recorder's thread only."""
        try:
            while self._followers:
                self._write(self._taken(everything=True))
                self._channels, self._next_tick = self._buffered(self._followers.popleft()), None
            self._write(self._taken(everything=self._stopping))
            self._checkpoint()
        except OSError as error:
            self.finish(RecordingEnd.DISK_FULL if error.errno in _FULL else RecordingEnd.DISK_FAILED)
            return
        except ValueError:  # a WAV file has no room for more
            self.finish(RecordingEnd.TOO_LONG)
            return
        if any(channel.tap.overruns for channel in self._channels):
            self.finish(RecordingEnd.DISK_SLOW)
        elif self._stopping:
            self.finish(RecordingEnd.STOPPED)
        elif self.seconds >= self._most_seconds:
            self.finish(RecordingEnd.TOO_LONG)

    def finish(self, end: RecordingEnd) -> None:
        """Closes the file and tells; the taps are for `on_end` to close. In the recorder's thread only."""
        try:
            if self._writer is not None:
                self._writer.close()
        except OSError:
            end = RecordingEnd.DISK_FAILED  # `repair` makes it whole at the next start
        self.end = end
        self._on_end(self)

    def _buffered(self, taps: Sequence[Channel]) -> list[_Buffered]:
        empty: Samples = np.zeros((0, self._frame), np.int16)
        return [_Buffered(tap, np.zeros(0, np.uint64), empty) for tap in taps]

    def _write(self, samples: Samples) -> None:
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._writer = WavWriter(self.path, self.rate, self.width)
        if len(samples):
            self._writer.append(_sum(samples) if self.mixed else samples)

    def _checkpoint(self) -> None:
        self._turns += 1
        if self._turns % CHECKPOINT_TURNS == 0 and self._writer is not None:
            self._writer.checkpoint()

    def _taken(self, *, everything: bool) -> Samples:
        """What all channels have, shape (n, channels); a channel that lags far behind is silence."""
        for channel in self._channels:
            channel.take_in()
        newest = [int(channel.ticks[-1]) for channel in self._channels if len(channel.ticks)]
        if not newest:
            return np.zeros((0, len(self._channels)), np.int16)
        if self._next_tick is None:
            self._next_tick = min(int(channel.ticks[0]) for channel in self._channels if len(channel.ticks))
        complete = min(newest) if len(newest) == len(self._channels) else self._next_tick - 1
        horizon = max(newest) if everything else max(complete, max(newest) - LAGGARD_TICKS)
        count = horizon + 1 - self._next_tick
        if count <= 0:
            return np.zeros((0, len(self._channels)), np.int16)
        laid = np.zeros((count, self._frame, len(self._channels)), np.int16)
        for number, channel in enumerate(self._channels):
            due = channel.ticks <= horizon
            places = channel.ticks[due].astype(np.int64) - self._next_tick
            known = places >= 0
            laid[places[known], :, number] = channel.samples[due][known]
            channel.ticks, channel.samples = channel.ticks[~due], channel.samples[~due]
        self._next_tick = horizon + 1
        return laid.reshape(-1, len(self._channels))


def _sum(samples: Samples) -> Samples:
    """All channels as one; what is too loud for it is cut."""
    total: Samples = np.clip(samples.sum(axis=1, dtype=np.int32), -32768, 32767).astype(np.int16)
    return total


_FULL = frozenset({27, 28, 122})  # EFBIG, ENOSPC, EDQUOT


class Recorder:
    """The thread that writes. `start` and `close` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going: list[Recording] = []
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._going)

    def start(
        self,
        path: Path,
        taps: Sequence[Channel],
        rate: int,
        most_seconds: float,
        on_end: Callable[[Recording], None],
        *,
        mixed: bool = False,
    ) -> Recording:
        """Begins to write `taps` at `rate` Hz to `path`, which must not be there yet: a channel each, or `mixed` to
        one. `on_end` is called from the recorder's thread, whatever ends it; the taps are for it to close."""
        recording = Recording(path, taps, rate, most_seconds, on_end, mixed=mixed)
        with self._lock:
            self._going.append(recording)
        return recording

    def close(self, patience_s: float = 5.0) -> None:
        """Ends every recording, whole, and the thread. A disk that hangs is waited for no longer than that."""
        self._closing = True
        self._wake.set()
        self._thread.join(patience_s)

    def _run(self) -> None:
        while not self._closing:
            self._turn()
            self._wake.wait(INTERVAL_S)
        with self._lock:
            for recording in self._going:
                recording.stop()
        self._turn()

    def _turn(self) -> None:
        with self._lock:
            going = tuple(self._going)
        for recording in going:
            try:
                recording.turn()
            except Exception:  # one that fails must not end the others
                log.exception("%s cannot be written", recording.path)
                recording.finish(RecordingEnd.DISK_FAILED)
            if recording.end is not None:
                with self._lock:
                    self._going.remove(recording)


class Share:
    """One user's part of a recorder, with a count of its own."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._begun = 0  # written by those who start
        self._ended = 0  # written by the recorder's thread

    def __len__(self) -> int:
        return self._begun - self._ended

    def start(
        self,
        path: Path,
        taps: Sequence[Channel],
        rate: int,
        most_seconds: float,
        on_end: Callable[[Recording], None],
    ) -> Recording:
        """As `Recorder.start`."""

        def ended(recording: Recording) -> None:
            try:
                on_end(recording)
            finally:
                self._ended += 1

        self._begun += 1
        return self._recorder.start(path, taps, rate, most_seconds, ended)
