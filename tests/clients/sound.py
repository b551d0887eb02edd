"""Test sound: tones with a known pitch and level, G.711 (ITU-T G.711) in numpy, and 8 kHz WAV files."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

RATE = 8000
FULL_SCALE = 32768.0


def tone(hz: float, seconds: float, *, dbfs: float = -15.0, rate: int = RATE, start: int = 0) -> Samples:
    """A sine of `hz` for `seconds`; its RMS is `dbfs` below a full-scale sine's.

    `start` is the sample number of the first sample, so that pieces join without a click.
    """
    number = np.arange(start, start + round(seconds * rate), dtype=np.float64)
    peak = (FULL_SCALE - 1) * 10 ** (dbfs / 20)
    return np.asarray(np.rint(peak * np.sin(2 * np.pi * hz / rate * number)), dtype=np.int16)


def silence(seconds: float, *, rate: int = RATE) -> Samples:
    """Digital silence."""
    return np.zeros(round(seconds * rate), dtype=np.int16)


def _ulaw_table() -> NDArray[np.int32]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude)


def _alaw_table() -> NDArray[np.int32]:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    mantissa = (code & 0x0F) << 4
    magnitude = np.where(segment == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude)


class _Companding:
    """One G.711 law: decoding is a table, encoding goes by the decision values: half a step above each value; at the
    edge of a segment half a step of the lower one, so that the nearest value is not always taken there."""

    def __init__(self, table: NDArray[np.int32], positive: NDArray[np.bool_]) -> None:
        self._decoded = table.astype(np.int16)
        self._codes = [
            side[np.argsort(np.abs(table[side]))] for side in (np.flatnonzero(~positive), np.flatnonzero(positive))
        ]
        magnitudes = np.abs(table[self._codes[1]])
        steps = np.diff(magnitudes)
        edges = np.flatnonzero((steps[1:-1] > steps[:-2]) & (steps[2:] > steps[1:-1])) + 1
        halves = steps / 2
        halves[edges] = steps[edges - 1] / 2
        self._limits = magnitudes[:-1] + halves

    def encode(self, samples: Samples) -> bytes:
        places = np.searchsorted(self._limits, np.abs(samples.astype(np.int32)), side="right")
        return bytes(np.where(samples < 0, self._codes[0][places], self._codes[1][places]).astype(np.uint8))

    def decode(self, payload: bytes) -> Samples:
        return np.asarray(self._decoded[np.frombuffer(payload, dtype=np.uint8)], dtype=np.int16)


ULAW = _Companding(_ulaw_table(), np.arange(256) >= 0x80)
ALAW = _Companding(_alaw_table(), np.arange(256) >= 0x80)
LAWS = {0: ULAW, 8: ALAW}
"""By static RTP payload type (RFC 3551 §6)."""


def write_wav(path: Path, samples: Samples, *, rate: int = RATE) -> Path:
    """One channel, 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def read_wav(path: Path) -> Samples:
    """One channel, 16 bits, 8 kHz."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def tone_wav(folder: Path, hz: float, seconds: float, *, dbfs: float = -15.0, rate: int = RATE) -> Path:
    """A WAV file of one tone in `folder`, made once."""
    path = folder / f"tone-{hz:g}Hz-{seconds:g}s-{-dbfs:g}dB-{rate}.wav"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        write_wav(unfinished, tone(hz, seconds, dbfs=dbfs, rate=rate), rate=rate)
        unfinished.replace(path)
    return path
