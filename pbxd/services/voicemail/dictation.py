"""What somebody says on a stage, written to a file until a digit, silence, the longest time or a hang-up ends it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from media import wav
from media.recorder import Channel, RecordingEnd
from media.rooms import Tap
from media.sound import Samples, Sound
from pbxd.calls.stage import Stage
from pbxd.sip.timers import TimerHandle

AUDIBLE_DBFS = -45.0
FRAME_S = 0.02
TAIL_S = 0.5  # of the silence at the end that stays
WRITTEN_S = 0.5  # of the newest sound that need not be in the file yet
TAP_S = 10  # how long a slow disk may keep us waiting

Found = TypeVar("Found")


class Aside(Protocol):
    """Runs `work` where blocking harms nobody, and then tells `done` its result in the event loop's thread."""

    def __call__(self, work: Callable[[], Found], done: Callable[[Found | Exception], None]) -> None: ...


class Going(Protocol):
    """A recording that goes on, or has ended."""

    end: RecordingEnd | None

    def stop(self) -> None: ...


class Scribe(Protocol):
    """Who writes: media.recorder. `on_end` may come from a thread of its own."""

    def start(
        self, path: Path, taps: Sequence[Channel], rate: int, most_seconds: float, on_end: Callable[[Going], None]
    ) -> Going: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What writing down takes. `hand_over` calls a function in the event loop's thread, from any other."""

    scribe: Scribe
    aside: Aside
    hand_over: Callable[[Callable[[], None]], None]


class Stop(Enum):
    """Why somebody's words were written down no longer."""

    DIGIT = "a digit was pressed"
    SILENCE = "nothing was said any more"
    TOO_LONG = "it took too long"
    GONE = "they hung up"
    DISK = "the disk did not take more"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is in a file: its length, and how much of it is more than silence. Both in seconds."""

    seconds: float
    audible_s: float


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of it. `seconds` is 0 where there is no file."""

    path: Path
    seconds: float
    audible_s: float
    why: Stop


@dataclass(frozen=True, slots=True)
class Limits:
    most_s: float
    silence_s: float


class Dictation:
    """One recording, from `start` on; `done` is told once, also when the stage has ended meanwhile."""

    def __init__(self, stage: Stage, desk: Desk, path: Path, limits: Limits, done: Callable[[Taken], None]) -> None:
        self._stage = stage
        self._desk = desk
        self._path = path
        self._limits = limits
        self._done = done
        self._going: Going | None = None
        self._why: Stop | None = None
        self._silence: TimerHandle | None = None
        self._tap: Tap | None = None

    def start(self) -> None:
        stage, limits = self._stage, self._limits
        tap = self._tap = stage.room.tap(stage.leg.media, rate=stage.rate, seconds=TAP_S)
        rate = tap.rate

        def open_file() -> Going:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._desk.scribe.start(
                self._path, [tap], rate, limits.most_s, lambda going: self._desk.hand_over(lambda: self._ended(going))
            )

        self._desk.aside(open_file, self._opened)
        self._await_silence()

    def stop(self, why: Stop) -> None:
        """Ends it; the first reason counts."""
        if self._why is None:
            self._why = why
            self._cancel_silence()
            if self._going is not None:
                self._going.stop()

    def talking(self, talks: bool) -> None:
        """Whether the caller speaks just now."""
        self._cancel_silence()
        if not talks and self._why is None:
            self._await_silence()

    def _await_silence(self) -> None:
        if not self._stage.closed:
            self._silence = self._stage.later(self._limits.silence_s, lambda _now: self._doubt())

    def _doubt(self) -> None:
        """Nobody spoke for a while. What is no speech, music or a whistle, may be meant all the same: the file says."""
        rate, seconds = self._stage.rate, self._limits.silence_s - WRITTEN_S

        def judged(quiet: bool | Exception) -> None:
            if self._why is None and quiet is False:
                self._cancel_silence()
                self._await_silence()
            else:
                self.stop(Stop.SILENCE)

        self._desk.aside(lambda: quiet_end(self._path, rate, seconds), judged)

    def _cancel_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _opened(self, going: Going | Exception) -> None:
        if isinstance(going, Exception):
            self._close_tap()
            self._why = self._why or Stop.DISK
            self._cancel_silence()
            self._done(Taken(self._path, 0.0, 0.0, Stop.DISK))
            return
        self._going = going
        if self._why is not None:
            going.stop()

    def _ended(self, going: Going) -> None:
        self._close_tap()
        self._cancel_silence()
        why = self._why or (Stop.TOO_LONG if going.end is RecordingEnd.TOO_LONG else Stop.DISK)
        if going.end not in (RecordingEnd.STOPPED, RecordingEnd.TOO_LONG):
            why = Stop.DISK if self._why is None else self._why

        def judged(result: Judgement | Exception) -> None:
            if isinstance(result, Exception):
                self._done(Taken(self._path, 0.0, 0.0, Stop.DISK))
            else:
                self._done(Taken(self._path, result.seconds, result.audible_s, why))

        self._desk.aside(lambda: judge(self._path), judged)

    def _close_tap(self) -> None:
        if self._tap is not None:
            self._tap.close()
            self._tap = None


def judge(path: Path) -> Judgement:
    """Cuts the silence at the end of a file of ours and says what is in it. May block; raises BadWav, OSError."""
    wav.repair(path)
    sound = wav.read(path)
    frame = round(sound.rate * FRAME_S)
    audible = _audible(sound.samples, frame)
    end = min(len(sound.samples), (int(audible[-1]) + 1) * frame + round(TAIL_S * sound.rate)) if len(audible) else 0
    if end < len(sound.samples):
        _cut(path, end)
    return Judgement(end / sound.rate, len(audible) * FRAME_S)


def quiet_end(path: Path, rate: int, seconds: float) -> bool:
    """Whether the newest `seconds` of a file that is being written are silence. May block; raises OSError."""
    with path.open("rb") as file:
        size = (file.seek(0, os.SEEK_END) - wav.HEADER_OCTETS) // 2 * 2
        wanted = min(max(0, size), 2 * round(seconds * rate))
        file.seek(wav.HEADER_OCTETS + size - wanted)
        samples = np.frombuffer(file.read(wanted), "<i2").astype(np.int16)
    return not len(_audible(samples, round(rate * FRAME_S)))


def _audible(samples: Samples, frame: int) -> npt.NDArray[np.intp]:
    """The frames that are more than silence."""
    count = len(samples) // frame
    power = np.mean(np.square(samples[: count * frame].reshape(count, frame), dtype=np.float64), axis=1)
    return np.flatnonzero(power > 32768**2 * 10 ** (AUDIBLE_DBFS / 10))


def _cut(path: Path, samples: int) -> None:
    with path.open("r+b") as file:
        file.truncate(wav.HEADER_OCTETS + 2 * samples)
    wav.repair(path)


def judge_left(path: Path, least_s: float) -> Judgement | None:
    """What a dead process left behind, made whole; None where nothing of it is a message. May block."""
    try:
        found = judge(path)
    except (wav.BadWav, OSError):
        return None
    return found if found.audible_s >= least_s else None


def joined(first: Path, second: Path) -> Judgement:
    """Puts `second` behind what is in `first`, which may be missing. May block; raises BadWav, OSError."""
    original = wav.read(second)
    parts = [original.samples]
    if first.exists():
        comment = wav.read(first)
        if comment.rate == original.rate:
            parts.insert(0, comment.samples)
    sound = Sound(np.concatenate(parts), original.rate)
    first.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    wav.write(first, sound)
    return Judgement(sound.seconds, sound.seconds)
