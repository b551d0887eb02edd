"""Ears: is the tone there, how loud, how pure, with what gaps, and when did it begin.

Pitches are multiples of 50 Hz: a 20 ms window then holds whole periods of each, and the tone of one direction is
orthogonal to that of the other.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from tests.clients.sound import FULL_SCALE, RATE, Samples

WINDOW_S = 0.020
HOP_S = 0.005
AUDIBLE_DBFS = -45.0
"""A tone quieter than this counts as absent."""
ALIKE = 0.95
"""Two sounds that are more alike than this are the same."""
PIECE_S = 0.06
"""A few packets: short enough that most are whole, long enough to be told from another."""
SLACK_S = 0.2
"""So much may be lost or repeated between two chunks of a sound."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a listener noticed about one pitch."""

    hz: float
    seconds: float
    """How long the listener listened."""
    present: float
    """Share of the time in which the tone was there, 0 to 1."""
    dbfs: float
    """Median level of the tone where it was there (a full-scale sine is 0); -inf when it never was."""
    purity: float
    """Median share of the tone in all energy where it was there, 0 to 1."""
    longest_gap_ms: float
    """Longest absence between two presences, or before the first or after the last one."""


def level_dbfs(samples: Samples) -> float:
    """RMS of everything, against a full-scale sine; -inf for silence."""
    if not samples.size:
        return -math.inf
    power = float(np.mean(np.square(samples.astype(np.float64))))
    return 10 * math.log10(power / (FULL_SCALE**2 / 2)) if power else -math.inf


def _windows(samples: Samples, rate: int) -> NDArray[np.float64]:
    size, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    if samples.size < size:
        return np.empty((0, size))
    view = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    return view.astype(np.float64)


def tone_power(samples: Samples, hz: float, *, rate: int = RATE) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each 5 ms step: power of the tone at `hz`, and power of everything (single-bin DFT, as Goertzel has it)."""
    windows = _windows(samples, rate)
    size = windows.shape[1]
    phase = np.exp(-2j * np.pi * hz / rate * np.arange(size))
    bins = windows @ phase
    return 2 * np.square(np.abs(bins)) / size**2, np.mean(np.square(windows), axis=1)


def listen(samples: Samples, hz: float, *, rate: int = RATE) -> Heard:
    """Judge the presence of one pitch in a recording.

    A window counts as present when the tone has at least half of its median amplitude, so a hole of n ms in the
    sound is measured as a gap of about n ms.
    """
    tone, everything = tone_power(samples, hz, rate=rate)
    seconds = samples.size / rate
    floor = FULL_SCALE**2 / 2 * 10 ** (AUDIBLE_DBFS / 10)
    audible = (tone > floor) & (tone > 0.25 * everything)
    if not audible.any():
        return Heard(hz, seconds, 0.0, -math.inf, 0.0, seconds * 1000)
    usual = float(np.median(tone[audible]))
    present = audible & (tone > usual / 4)
    purity = float(np.median(tone[present] / everything[present]))
    return Heard(
        hz=hz,
        seconds=seconds,
        present=float(np.mean(present)),
        dbfs=10 * math.log10(usual / (FULL_SCALE**2 / 2)),
        purity=purity,
        longest_gap_ms=_longest_run(~present) * HOP_S * 1000,
    )


def _longest_run(flags: Iterable[np.bool_]) -> int:
    return max((sum(1 for _ in run) for flag, run in groupby(flags) if flag), default=0)


def longest_tone_ms(samples: Samples, hz: float, *, rate: int = RATE) -> float:
    """How long, at the longest, nothing but the tone sounds: a beep is told from speech by that."""
    tone, everything = tone_power(samples, hz, rate=rate)
    floor = FULL_SCALE**2 / 2 * 10 ** (AUDIBLE_DBFS / 10)
    return _longest_run((tone > floor) & (tone > 0.9 * everything)) * HOP_S * 1000


def onset_ms(samples: Samples, hz: float, *, rate: int = RATE) -> float | None:
    """When the tone begins, in milliseconds from the start of the recording; None when it never does."""
    tone, everything = tone_power(samples, hz, rate=rate)
    floor = FULL_SCALE**2 / 2 * 10 ** (AUDIBLE_DBFS / 10)
    audible = np.flatnonzero((tone > floor) & (tone > 0.25 * everything))
    return float(audible[0]) * HOP_S * 1000 if audible.size else None


def delay_ms(reference: Samples, recording: Samples, *, rate: int = RATE) -> float:
    """By how much `recording` lags behind `reference` (peak of the cross-correlation by FFT).

    The reference must be aperiodic, such as noise: a lone tone has no unique delay.
    """
    size = 1 << (reference.size + recording.size - 1).bit_length()
    spectrum = np.fft.rfft(recording.astype(np.float64), size) * np.conj(
        np.fft.rfft(reference.astype(np.float64), size)
    )
    correlation = np.fft.irfft(spectrum, size)[: recording.size]
    return float(np.argmax(correlation)) / rate * 1000


@dataclass(frozen=True, slots=True)
class Found:
    """Where a known sound lies in a recording, and how alike the two are there: 1 is the same but for loudness."""

    at_ms: float
    likeness: float


def find(sound: Samples, recording: Samples, *, rate: int = RATE) -> Found:
    """The place where `recording` is most like `sound`, by normalised correlation."""
    known, heard = sound.astype(np.float64), recording.astype(np.float64)
    if len(heard) < len(known):
        return Found(0.0, 0.0)
    size = 1 << int(np.ceil(np.log2(len(known) + len(heard))))
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(known, size)), size)
    places = product[: len(heard) - len(known) + 1]
    energy = np.concatenate([[0.0], np.cumsum(heard**2)])
    around = energy[len(known) :] - energy[: len(energy) - len(known)]
    likeness = places / np.sqrt(np.maximum(around, 1.0) * max(float(np.sum(known**2)), 1.0))
    best = int(np.argmax(likeness))
    return Found(1000 * best / rate, float(likeness[best]))


def understood(sound: Samples, recording: Samples, *, rate: int = RATE) -> float:
    """The share of `sound` that can be found in `recording`, piece by piece, each where the others say that it must be:
    1 is all of it. A phone that loses or repeats packets, as real ones do on a busy machine, loses a piece for each."""
    size = round(PIECE_S * rate)
    starts = [at for at in range(0, len(sound) - size + 1, size) if level_dbfs(sound[at : at + size]) > -45]
    told = (_begin(sound, start, size, recording) for start in starts[:: len(starts) // 16 + 1])
    begins = [at for at in told if at is not None]
    slack = round(SLACK_S * rate)
    begin = max(begins, key=lambda one: sum(abs(one - other) < slack for other in begins), default=None)
    if begin is None:
        return 0.0
    heard = 0
    for at in starts:
        low = max(0, begin + at - slack)
        found = find(sound[at : at + size], recording[low : max(0, begin + at + size + slack)], rate=rate)
        if found.likeness > ALIKE:
            heard += 1
            begin = low + round(found.at_ms * rate / 1000) - at
    return heard / len(starts)


def _begin(sound: Samples, start: int, size: int, recording: Samples) -> int | None:
    """Where the whole sound begins in the recording, as the piece at `start` has it."""
    found = find(sound[start : start + size], recording)
    return round(found.at_ms * RATE / 1000) - start if found.likeness > ALIKE else None


def sameness(
    spoken: Samples, expected: Samples, recording: Samples, *, rate: int = RATE, chunk_s: float = 0.04, zero: int = 0
) -> tuple[float, float]:
    """The share of the loud chunks of `recording` that are what was `spoken` sample by sample, with no more noise than
    `expected` has, which a codec made of it: of two values as near to it as each other, a codec may take either. And
    how far the noise is below it in these: dB. `zero` is what a phone takes for nothing: libre's G.711 says 2."""
    size = round(chunk_s * rate)
    parts = [(at, recording[at : at + size]) for at in range(0, len(recording) - size + 1, size)]
    loud = [(at, part) for at, part in parts if level_dbfs(part) > -40]
    same, power, noise = 0, 0.0, 0.0
    for _, part in loud:
        place = round(find(part, expected, rate=rate).at_ms * rate / 1000)
        told = spoken[place : place + size].astype(np.float64)
        least = np.abs(expected[place : place + size] - told)
        if np.all(np.abs(np.abs(part - told) - least) <= zero):
            same += 1
            power += float(np.sum(told**2))
            noise += float(np.sum((told - part) ** 2))
    return same / max(1, len(loud)), 10 * math.log10(power / noise) if noise else math.inf


def level_of_tone(samples: Samples, hz: float, *, rate: int = RATE) -> float:
    """The level of one frequency in dB of full scale; -120 where there is nothing at all."""
    if not len(samples):
        return -120.0
    window = np.hanning(len(samples))
    time = np.arange(len(samples)) / rate
    amplitude = 2 * abs(np.sum(window * samples * np.exp(-2j * np.pi * hz * time))) / np.sum(window)
    return 20 * math.log10(max(amplitude / FULL_SCALE, 1e-6))
