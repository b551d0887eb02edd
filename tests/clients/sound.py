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
    """One G.711 law: decoding is a table, encoding the nearest table entry."""

    def __init__(self, table: NDArray[np.int32]) -> None:
        self._decoded = table.astype(np.int16)
        self._order = np.argsort(table, kind="stable")
        ascending = table[self._order]
        self._limits = (ascending[1:] + ascending[:-1]) / 2

    def encode(self, samples: Samples) -> bytes:
        return bytes(self._order[np.searchsorted(self._limits, samples)].astype(np.uint8))

    def decode(self, payload: bytes) -> Samples:
        return np.asarray(self._decoded[np.frombuffer(payload, dtype=np.uint8)], dtype=np.int16)


ULAW = _Companding(_ulaw_table())
ALAW = _Companding(_alaw_table())
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


def tone_wav(folder: Path, hz: float, seconds: float, *, dbfs: float = -15.0, rate: int = RATE) -> Path:
    """A WAV file of one tone in `folder`, made once."""
    path = folder / f"tone-{hz:g}Hz-{seconds:g}s-{-dbfs:g}dB-{rate}.wav"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        write_wav(unfinished, tone(hz, seconds, dbfs=dbfs, rate=rate), rate=rate)
        unfinished.replace(path)
    return path
