"""The house's own music: as loud as it should be, without clicks, fit for a telephone, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from media.tune import tune


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_piece_is_quiet_smooth_and_may_be_repeated(rate: int) -> None:
    sound = tune(rate)
    samples = sound.samples.astype(np.float64)
    assert sound.rate == rate
    assert sound.seconds == pytest.approx(34.5, abs=0.1)
    assert sound.dbfs == pytest.approx(-20, abs=0.5)
    assert np.abs(samples).max() < 32767 * 0.7
    assert np.abs(samples[[0, -1]]).max() < 50  # repeated without a click
    assert np.abs(np.diff(samples)).max() < 14000 * 8000 / rate
    assert tune(rate) is sound


def test_it_lies_where_every_codec_is_good() -> None:
    sound = tune(16000)
    power = np.abs(np.fft.rfft(sound.samples.astype(np.float64))) ** 2
    hz = np.fft.rfftfreq(len(sound.samples), 1 / 16000)
    inside = power[(hz > 80) & (hz < 3400)].sum() / power.sum()
    assert inside > 0.99


def test_it_never_stops_for_long() -> None:
    samples = tune(8000).samples[: 32 * 8000].astype(np.float64).reshape(-1, 4000)
    levels = 10 * np.log10(np.mean(samples**2, axis=1) / 32768**2)
    assert levels.min() > -35
