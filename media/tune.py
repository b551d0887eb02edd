"""The house's own music for those who wait, where nobody gave it any: a slow piece of plucked strings, made of numbers.

Four chords over sixteen bars, each string a few partials that die away. It begins and ends in silence, so that it may
be repeated, stays between 130 and 1,400 Hz, where every codec is good, and 20 dB below full scale, so that nobody
holds the phone away from the ear.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from media.sound import Sound

BEAT_S = 0.5
BARS = 16
BEATS = 4  # a bar
LEVEL_DBFS = -20.0
RING_S = 2.5  # how long a string sounds
PARTIALS = (1.0, 0.45, 0.2, 0.08)
A4_HZ, A4 = 440.0, 69  # as MIDI numbers notes

_CHORDS = ((48, 55, 60, 64), (45, 52, 57, 60), (41, 53, 57, 60), (43, 50, 55, 59))  # C, A minor, F, G
_PATTERN = (0, 1, 2, 3, 2, 1, 3, 2)  # the strings of a bar, an eighth each
_MELODY = (76, 0, 74, 72, 0, 69, 72, 0, 77, 76, 0, 72, 74, 0, 71, 0)  # half a bar each; 0 rests


@cache
def tune(rate: int) -> Sound:
    """The piece at `rate` Hz: 34 s, always the same."""
    total = np.zeros(round((BARS * BEATS * BEAT_S + RING_S) * rate))
    for bar in range(BARS):
        chord, start = _CHORDS[bar % len(_CHORDS)], bar * BEATS * BEAT_S
        for eighth, string in enumerate(_PATTERN):
            _pluck(total, chord[string], start + eighth * BEAT_S / 2, 0.5, rate)
        if bar >= len(_CHORDS):  # the chords alone first
            for half in range(2):
                note = _MELODY[(2 * bar + half) % len(_MELODY)]
                if note:
                    _pluck(total, note, start + half * 2 * BEAT_S, 1.0, rate)
    level = 10 ** (LEVEL_DBFS / 20) * 32768 / float(np.sqrt(np.mean(np.square(total))))
    return Sound(np.clip(np.rint(total * level), -32768, 32767).astype(np.int16), rate)


def _pluck(total: npt.NDArray[np.float64], note: int, at_s: float, loudness: float, rate: int) -> None:
    """Adds one string, struck `at_s`."""
    hz = A4_HZ * 2 ** ((note - A4) / 12)
    time = np.arange(round(RING_S * rate)) / rate
    attack = np.minimum(time / 0.008, 1.0)
    release = np.clip((RING_S - time) / 0.3, 0.0, 1.0)
    sound = np.zeros_like(time)
    for number, share in enumerate(PARTIALS, 1):
        sound += share * np.exp(-time * (1.2 + 0.9 * number)) * np.sin(2 * np.pi * hz * number * time)
    start = round(at_s * rate)
    total[start : start + len(time)] += loudness * attack * release * sound
