"""Hears that a fax is calling while the house speaks: the CNG tone of 1100 Hz, in what a caller says to a stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from media.rooms import Tap
from media.spandsp import Ear, Tone
from pbxd.calls.stage import Stage

LOOK_S: Final = 0.2
RATE: Final = 8000


class CngWatch:
    """Listens to who is on `stage` until it hears CNG, which `heard` is told once; `stop` ends it, as the stage does.

    Whoever watches may then lend the stage to a FaxAct: a number that voice and fax share.
    """

    def __init__(self, stage: Stage, heard: Callable[[float], None]) -> None:
        self._stage = stage
        self._heard = heard
        self._ear = Ear()
        self._tap: Tap | None = None
        self._stopped = False
        stage.later(LOOK_S, self._look)

    def stop(self) -> None:
        """Nothing is told from now on."""
        self._stopped = True
        if self._tap is not None:
            self._tap.close()
            self._tap = None

    def _look(self, now: float) -> None:
        if self._stopped:
            return
        media = self._stage.leg.media
        if self._tap is None or self._tap.closed:  # it is in another room now, or in a relay with somebody
            self._tap = media.room.tap(media, rate=RATE) if media.room is not None else None
        frames = self._tap.read() if self._tap is not None else []
        if Tone.CNG in self._ear.hear(b"".join(frame.pcm for frame in frames)):
            self.stop()
            self._heard(now)
        else:
            self._stage.later(LOOK_S, self._look)
