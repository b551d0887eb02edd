"""Sound at another rate, offline and whole."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from media.sound import Sound

_BLOCK_S = 2.0
_OVERLAP_S = 0.1


def resample(sound: Sound, rate: int) -> Sound:
    """`sound` at `rate` Hz: what both rates can carry stays, what is above half of the lower one goes.

    It cuts or extends the spectrum of overlapping blocks, so the work grows with the length alone.
    """
    if sound.rate == rate or not len(sound.samples):
        return Sound(sound.samples, rate)
    ratio = Fraction(rate, sound.rate)
    step = round(_BLOCK_S * sound.rate) // ratio.denominator * ratio.denominator
    edge = round(_OVERLAP_S * sound.rate) // ratio.denominator * ratio.denominator
    total = -(-len(sound.samples) * ratio.numerator // ratio.denominator)
    padded = np.concatenate([np.zeros(edge), sound.samples, np.zeros(edge + step)])
    parts = []
    for start in range(0, len(sound.samples), step):
        block = padded[start : start + step + 2 * edge]
        wide = _stretched(block, int(len(block) * ratio))
        skip = int(edge * ratio)
        parts.append(wide[skip : skip + int(step * ratio)])
    samples = np.concatenate(parts)[:total]
    return Sound(np.clip(np.round(samples), -32768, 32767).astype(np.int16), rate)


def _stretched(
    block: np.ndarray[tuple[int], np.dtype[np.float64]], count: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    spectrum = np.fft.rfft(block * _faded(len(block)))
    bins = count // 2 + 1
    cut = np.zeros(bins, np.complex128)
    shared = min(bins, len(spectrum))
    cut[:shared] = spectrum[:shared]
    roll = max(1, shared // 50)  # the last two in a hundred fade out: a wall in the spectrum rings
    cut[shared - roll : shared] *= np.linspace(1, 0, roll)
    return np.fft.irfft(cut, count) * (count / len(block))


def _faded(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Ends of a block fade, inside the part that is thrown away: a block is taken for one turn of a circle."""
    fade = min(count // 4, 64)
    window = np.ones(count)
    window[:fade] = np.linspace(0, 1, fade)
    window[-fade:] = window[:fade][::-1]
    return window
