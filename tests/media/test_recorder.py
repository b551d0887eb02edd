"""What is written is what was heard, side by side, whatever the disk does."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from media import wav
from media.recorder import LAGGARD_TICKS, Recorder, Recording, RecordingEnd
from media.rooms import TapFrame

FRAME = 160
READ = 50


class FakeTap:
    """A tap that a test fills: each tick holds its own number."""

    def __init__(self) -> None:
        self.overruns = 0
        self._ticks: list[int] = []

    def hear(self, *ticks: int) -> None:
        self._ticks += ticks

    def read(self) -> list[TapFrame]:
        ticks, self._ticks = self._ticks[:READ], self._ticks[READ:]
        return [TapFrame(tick, np.full(FRAME, tick, np.int16).tobytes()) for tick in ticks]


def frames(path: Path) -> list[list[int]]:
    """One number a tick and channel, as the file has it."""
    with path.open("rb") as file:
        form = wav.probe(file)
        file.seek(form.offset)
        samples = np.frombuffer(file.read(form.octets), "<i2").reshape(-1, FRAME, form.channels)
    assert (samples == samples[:, :1, :]).all()
    return [[int(value) for value in frame[0]] for frame in samples]


class Stand:
    """A recording that a test turns by hand."""

    def __init__(self, path: Path, channels: int, most_seconds: float = 1000.0, *, mixed: bool = False) -> None:
        self.taps = [FakeTap() for _ in range(channels)]
        self.ended: list[RecordingEnd | None] = []
        self.recording = Recording(
            path, self.taps, 8000, most_seconds, lambda done: self.ended.append(done.end), mixed=mixed
        )


def test_two_channels_lie_side_by_side(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 2)
    stand.taps[0].hear(5, 6, 7)
    stand.taps[1].hear(5, 6)
    stand.recording.turn()
    assert stand.recording.seconds == pytest.approx(0.04)
    stand.taps[1].hear(7, 8)
    stand.taps[0].hear(8)
    stand.recording.stop()
    stand.recording.turn()
    assert frames(tmp_path / "call.wav") == [[5, 5], [6, 6], [7, 7], [8, 8]]
    assert stand.ended == [RecordingEnd.STOPPED]


def test_what_one_channel_misses_is_silence(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 2)
    stand.taps[0].hear(1, 2, 4)
    stand.taps[1].hear(2, 3, 4)
    stand.recording.stop()
    stand.recording.turn()
    assert frames(tmp_path / "call.wav") == [[1, 0], [2, 2], [0, 3], [4, 4]]


def test_a_channel_that_says_nothing_is_not_waited_for_long(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 2)
    stand.taps[0].hear(*range(1, LAGGARD_TICKS + 11))
    stand.recording.turn()
    assert stand.recording.seconds == pytest.approx(0.2)
    stand.taps[1].hear(3, 30)  # 3 has been written as silence
    stand.recording.stop()
    stand.recording.turn()
    written = frames(tmp_path / "call.wav")
    assert len(written) == LAGGARD_TICKS + 10
    assert written[2] == [3, 0]
    assert written[29] == [30, 30]


def test_a_pause_leaves_out_what_was_said_meanwhile_to_the_tick(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 1)
    before, after = stand.taps[0], FakeTap()
    before.hear(1, 2)
    stand.recording.follow([])
    stand.recording.turn()
    before.hear(3)
    stand.recording.turn()
    after.hear(8)
    stand.recording.follow([after])
    stand.recording.stop()
    stand.recording.turn()
    assert frames(tmp_path / "call.wav") == [[1], [2], [8]]


def test_a_recording_follows_its_parties_into_another_room(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 2)
    stand.taps[0].hear(900, 901)
    stand.taps[1].hear(900)
    moved = [FakeTap(), FakeTap()]
    stand.recording.follow(moved)
    for tap in moved:
        tap.hear(5, 6)  # another room counts from its own beginning
    stand.recording.stop()
    stand.recording.turn()
    assert frames(tmp_path / "call.wav") == [[900, 900], [901, 0], [5, 5], [6, 6]]


def test_a_mixed_one_is_the_sum_of_its_taps(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 2, mixed=True)
    stand.taps[0].hear(20000, 20001)
    stand.taps[1].hear(20001, 20002)
    stand.recording.stop()
    stand.recording.turn()
    assert frames(tmp_path / "call.wav") == [[20000], [32767], [20002]]


def test_a_recording_ends_at_its_longest(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 1, most_seconds=0.04)
    stand.taps[0].hear(1, 2)
    stand.recording.turn()
    assert stand.ended == [RecordingEnd.TOO_LONG]


def test_a_tap_that_overran_ends_it_with_what_there_is(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 1)
    stand.taps[0].hear(1, 2)
    stand.taps[0].overruns = 3
    stand.recording.turn()
    assert stand.ended == [RecordingEnd.DISK_SLOW]
    assert frames(tmp_path / "call.wav") == [[1], [2]]


def test_a_full_disk_ends_it_with_what_found_room(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (44 + 3 * 2 * FRAME + 7, hard))
    try:
        stand.taps[0].hear(1, 2, 3, 4, 5)
        stand.recording.turn()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stand.ended == [RecordingEnd.DISK_FULL]
    with (tmp_path / "call.wav").open("rb") as file:
        assert wav.probe(file).octets == 3 * 2 * FRAME + 6


def test_the_header_is_true_while_it_grows(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "call.wav", 1)
    for number in range(1, 21):
        stand.taps[0].hear(number)
        stand.recording.turn()
    assert len(frames(tmp_path / "call.wav")) == 20
    stand.recording.finish(RecordingEnd.STOPPED)


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(b"precious")
    stand = Stand(tmp_path / "call.wav", 1)
    stand.recording.turn()
    assert stand.ended == [RecordingEnd.DISK_FAILED]
    assert (tmp_path / "call.wav").read_bytes() == b"precious"


def test_closing_the_recorder_ends_every_recording_whole(tmp_path: Path) -> None:
    recorder = Recorder()
    taps = [FakeTap() for _ in range(3)]
    ended: list[RecordingEnd | None] = []
    for number, tap in enumerate(taps):
        recorder.start(tmp_path / f"{number}.wav", [tap], 8000, 100, lambda done: ended.append(done.end))
        tap.hear(1, 2, 3)
    recorder.close()
    assert ended == [RecordingEnd.STOPPED] * 3
    assert len(recorder) == 0
    assert all(frames(tmp_path / f"{number}.wav") == [[1], [2], [3]] for number in range(3))
