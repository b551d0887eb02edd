"""Where lines become clips that wire can play: read off the event loop, kept while they are in use or were lately."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from media.convert import BadAudio
from media.library import NoSuchPrompt
from media.rooms import Clip
from media.script import Line, Reader, Tune
from media.sound import Sound
from media.speech import CannotSpeak
from media.wav import BadWav

log = logging.getLogger(__name__)

KEPT_SECONDS = 1800.0  # of sound: 58 MB at 16 kHz
KEPT_LONGEST_S = 120.0  # longer ones are read anew; their samples lie in the cache of files

Key = tuple[Line, str, int]
FAILURES = (BadAudio, BadWav, CannotSpeak, NoSuchPrompt, OSError)


class Offload(Protocol):
    """Runs `work` where blocking harms nobody, and then tells `done` its result, in the event loop's thread."""

    def __call__(self, work: Callable[[], list[Sound]], done: Callable[[list[Sound] | Exception], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that could not be turned into sound, and why."""

    line: Line
    why: str


def clip_of(sound: Sound) -> Clip:
    """Hands a sound to wire."""
    return Clip(sound.samples.tobytes(), sound.rate)


class Studio:
    """Prepares what the house plays. `make_clip` hands a sound to wire."""

    def __init__(self, reader: Reader, make_clip: Callable[[Sound], Clip], offload: Offload) -> None:
        self.reader = reader
        self._make_clip = make_clip
        self._offload = offload
        self._kept: OrderedDict[Key, tuple[Clip, float]] = OrderedDict()
        self._seconds = 0.0
        self.failures = 0

    def prepare(
        self,
        lines: Sequence[Line],
        language: str,
        rate: int,
        ready: Callable[[list[Clip] | Unreadable], None],
    ) -> None:
        """Tells `ready` the clips of `lines`, at once when all are kept; or the first line that cannot be read. A tune
        among others is only left out then."""
        keys = [(line, language, rate) for line in lines]
        missing = [key for key in dict.fromkeys(keys) if key not in self._kept]
        if not missing:
            ready([self._used(key) for key in keys])
            return

        def read() -> list[Sound]:
            return [self._read(*key, alone=len(keys) == 1) for key in missing]

        def done(result: list[Sound] | Exception) -> None:
            if isinstance(result, Exception):
                self.failures += 1
                ready(Unreadable(missing[0][0], str(result)))
                return
            fresh = {key: self._make_clip(sound) for key, sound in zip(missing, result, strict=True)}
            for key, sound in zip(missing, result, strict=True):
                self._keep(key, fresh[key], sound.seconds)
            ready([fresh[key] if key in fresh else self._used(key) for key in keys])

        self._offload(read, done)

    def _read(self, line: Line, language: str, rate: int, *, alone: bool) -> Sound:
        """In a thread of its own. Raises those of FAILURES."""
        try:
            return self.reader.read(line, language, rate)
        except FAILURES as error:
            if alone or not isinstance(line, Tune):
                raise
            log.warning("%s is left out of the music: %s", line.path.name, error)
            return Sound.silence(0.02, rate)

    def forget(self) -> None:
        """Reads everything anew from now on: recordings or settings have changed."""
        self._kept.clear()
        self._seconds = 0.0

    def _used(self, key: Key) -> Clip:
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def _keep(self, key: Key, clip: Clip, seconds: float) -> None:
        if seconds > KEPT_LONGEST_S:
            return
        _, before = self._kept.pop(key, (None, 0.0))
        self._kept[key] = (clip, seconds)
        self._seconds += seconds - before
        while self._seconds > KEPT_SECONDS:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._seconds -= oldest
