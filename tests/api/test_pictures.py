"""Pictures with the sound of recordings: stereo, what is no WAV, and what cannot be read."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from media.wav import header
from pbxd.api.house.pictures import drawn
from pbxd.calls.record import CallRecord, Direction
from pbxd.trace.story import CALLEE, CALLER, Side, Story

WALL = 1_790_000_000.0


def story() -> Story:
    sides = {role: Side(role, "PCMU, 20 ms") for role in (CALLER, CALLEE)}
    return Story("call_1", "call_1", WALL, WALL + 20, True, sides=sides)


def wav(file: Path, channels: int) -> Path:
    sound = (8000 * np.sin(np.arange(80000 * channels) / 5)).astype("<i2")
    file.write_bytes(header(8000, channels, sound.nbytes) + sound.tobytes())
    return file


@pytest.mark.parametrize("channels", [1, 2])
def test_the_waveform_of_a_recording_is_in_it(tmp_path: Path, channels: int) -> None:
    record = CallRecord("call_1", "acc_1", Direction.INTERNAL, "1001", "Ann", "1002", WALL)
    text = drawn(story(), record, [(WALL + 5, wav(tmp_path / "call.wav", channels))]).decode()
    assert text.count("<polygon") == 2 * channels
    assert "1001 → 1002" in text


def test_another_kind_of_file_is_decoded_first() -> None:
    """One of the house's own prompts."""
    prompt = min((Path(__file__).parents[2] / "media" / "prompts").glob("*/*.opus"))
    assert drawn(story(), None, [(WALL, prompt)]).count(b"<polygon") == 2


def test_what_cannot_be_read_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rubbish = [tmp_path / "x.wav", tmp_path / "x.opus"]
    for file in rubbish:
        file.write_bytes(b"rubbish")
    with caplog.at_level(logging.WARNING):
        text = drawn(story(), None, [(WALL, file) for file in (*rubbish, tmp_path / "none.wav")])
    assert b"<polygon" not in text
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
