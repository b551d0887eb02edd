"""How the sound of a file looks from afar: the outline of each channel, a few hundred points however long it is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from media.wav import probe

_FULL = 32768.0


@dataclass(frozen=True, slots=True)
class Point:
    """One stretch of sound: its lowest and highest sample, and its loudness (rms), all against full scale."""

    low: float
    high: float
    loud: float


@dataclass(frozen=True, slots=True)
class Waveform:
    """`channels` have a point for each equal part of `seconds`."""

    seconds: float
    channels: tuple[tuple[Point, ...], ...]


def outline(path: Path, points: int) -> Waveform:
    """The outline of a WAV file, read where it lies: an hour of it takes no memory. Raises BadWav, OSError."""
    with path.open("rb") as file:
        form = probe(file)
    frames = form.octets // (2 * form.channels)
    if not frames:
        return Waveform(0.0, ((),) * form.channels)
    sound = np.memmap(path, "<i2", "r", form.offset, (frames, form.channels))
    edges = np.linspace(0, frames, min(points, frames) + 1).astype(int)
    stretches = [sound[one:other] for one, other in pairwise(edges)]
    low = np.array([stretch.min(axis=0) for stretch in stretches]) / _FULL
    high = np.array([stretch.max(axis=0) for stretch in stretches]) / _FULL
    loud = np.array([np.sqrt(np.square(stretch, dtype=np.float32).mean(axis=0)) for stretch in stretches]) / _FULL
    return Waveform(
        form.seconds,
        tuple(
            tuple(
                Point(float(a), float(b), float(c))
                for a, b, c in zip(low[:, at], high[:, at], loud[:, at], strict=True)
            )
            for at in range(form.channels)
        ),
    )
