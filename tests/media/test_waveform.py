"""Outlines of WAV files: what is loud where, of each channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.wav import BadWav, header
from media.waveform import outline


def test_an_outline_shows_who_spoke_when(tmp_path: Path) -> None:
    rate = 8000
    sound = np.zeros((10 * rate, 2), "<i2")
    sound[2 * rate : 3 * rate, 0] = 16384
    sound[7 * rate : 8 * rate : 2, 1] = -32768
    file = tmp_path / "call.wav"
    file.write_bytes(header(rate, 2, sound.nbytes) + sound.tobytes())
    wave = outline(file, 10)
    assert wave.seconds == 10
    left, right = wave.channels
    assert [round(point.loud, 2) for point in left] == [0, 0, 0.5, 0, 0, 0, 0, 0, 0, 0]
    assert [round(point.loud, 2) for point in right] == [0, 0, 0, 0, 0, 0, 0, 0.71, 0, 0]
    assert (left[2].low, left[2].high, right[7].low, right[7].high) == (0.5, 0.5, -1, 0)


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_a_file_shorter_than_its_outline(tmp_path: Path, samples: int) -> None:
    file = tmp_path / "short.wav"
    file.write_bytes(header(8000, 1, 2 * samples) + b"\0\1" * samples)
    assert [len(points) for points in outline(file, 10).channels] == [samples]


def test_what_is_no_wav(tmp_path: Path) -> None:
    file = tmp_path / "x.wav"
    file.write_bytes(b"RIFF rubbish")
    with pytest.raises(BadWav):
        outline(file, 10)
