"""Recordings in a house of virtual time and a real wire: rows and files that tell the same, whatever the disk does."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from media import wav
from media.recorder import Recorder
from media.sound import Sound
from media.wav import WavWriter
from pbxd.calls.presence import presence_of
from pbxd.calls.record import Change, Role
from pbxd.config.recordings import Recorded as WhichCalls
from pbxd.config.recordings import RecordingFormat, RecordingNotice
from pbxd.config.recordings import Recordings as Settings
from pbxd.errors import Conflict, Invalid, NotFound, Unavailable
from pbxd.services.recordings import (
    Channels,
    Recorded,
    RecordingFilter,
    Recordings,
    RecordingState,
    RecordingWish,
    take,
)
from pbxd.services.recordings.recorded import RESTARTED
from pbxd.services.recordings.shelf import place_of
from pbxd.store import Store
from tests.calls.conftest import house
from tests.calls.house import WALL, Handset, House

__all__ = ["house"]

QUIET = RecordingWish(announce=RecordingNotice.NONE)
ON = Settings(calls=WhichCalls.ALL, announce=RecordingNotice.NONE, min_free_mb=1)


async def eventually(condition: Callable[[], Any], what: str) -> None:
    """Lets the threads and the loop work until it is so."""
    async with asyncio.timeout(8):
        while not condition():  # noqa: ASYNC110 - threads tell nobody
            await asyncio.sleep(0.02)
    assert condition(), what


class Desk:
    """Recordings of a house, and calls to record."""

    def __init__(self, house: House, store: Store, folder: Path, settings: Settings) -> None:
        self.house = house
        self.store = store
        self.folder = folder / "recordings"
        self.recorder = Recorder()
        calls = house.switch.calls
        self.recordings = Recordings(store, "node", house.facilities, calls, self.folder, settings, self.recorder)
        self.recordings.listen(house.bus)
        self.alice, self.bob = Handset(house.wire, "alice"), Handset(house.wire, "bob")

    def call(self) -> str:
        """Two phones that talk."""
        house, alice, bob = self.house, self.alice, self.bob
        house.register("1002", bob)
        alice >> "INVITE" >> house >> 100 >> alice
        house >> "INVITE" >> bob >> 180 >> house >> 180 >> alice
        bob >> 200 >> house >> "ACK" >> bob
        house >> 200 >> alice >> "ACK" >> house
        house.wire.after(1)
        return next(iter(house.switch.calls))

    def hang_up(self) -> None:
        self.alice.session.hangup(self.house.wire.now)
        self.house.wire.after(1)

    def heard(self, call_id: str, seconds: float) -> bool:
        live = self.recordings.live(call_id)
        return live is not None and self.recordings._now_as(live).seconds >= seconds

    async def rows(self, **wanted: Any) -> list[Recorded]:
        await self.store.drain()
        return await self.recordings.page(RecordingFilter(**wanted))

    async def ended(self) -> Recorded:
        """The only recording, once it is finished."""
        async with asyncio.timeout(8):
            while True:
                (row,) = await self.rows()
                if row.state in (RecordingState.DONE, RecordingState.CUT, RecordingState.LOST):
                    return row
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    store = await Store.open(store_url)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def desk(house: House, store: Store, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(house, store, tmp_path, replace_settings(ON, calls=WhichCalls.NONE))
    await desk.recordings.start("acc_default")
    yield desk
    await desk.recordings.stop()
    desk.recorder.close()


def replace_settings(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


async def test_a_recorded_call_leaves_a_row_and_a_file_that_agree(desk: Desk) -> None:
    call_id = desk.call()
    begun = desk.recordings.begin(call_id, QUIET)
    assert begun.path == place_of(begun.started_at, call_id)
    await eventually(lambda: desk.heard(call_id, 0.2), "sound to be written")
    desk.hang_up()
    row = await desk.ended()
    assert (row.state, row.reason, row.channels) == (RecordingState.DONE, "the call ended", Channels.STEREO)
    file = desk.folder / row.path
    assert row.octets == file.stat().st_size
    assert row.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    with file.open("rb") as opened:
        form = wav.probe(opened)
    assert (form.channels, form.rate, round(form.seconds, 3)) == (2, 8000, row.seconds)
    assert desk.recordings.live(call_id) is None
    assert desk.recordings.ended["stopped"] == 1
    assert desk.house.empty()
    assert not desk.house.facilities.media.rooms


@pytest.mark.parametrize("wanted", [True, False])
async def test_what_the_house_asked_a_caller_to_say_is_a_recording_of_the_call(desk: Desk, wanted: bool) -> None:
    call_id = desk.call()
    whole = desk.recordings.begin(call_id, QUIET)
    record = desk.house.switch.calls[call_id].record
    presence = presence_of(desk.house.switch.calls[call_id])
    told: list[Recorded] = []

    def ended(recorded: Recorded) -> bool:
        told.append(recorded)
        return wanted

    taking = desk.recordings.begin_words(record, presence.room, presence.parties[Role.CALLER].media, 60, ended)
    live = desk.recordings.live(call_id)
    assert live is not None
    assert live.id == whole.id
    await eventually(lambda: taking.recording is not None and taking.recording.seconds > 0.2, "words to be written")
    taking.stop("it was said")
    await eventually(lambda: told, "the end to be told")
    desk.hang_up()
    presence.release()
    await eventually(lambda: not desk.recordings.active, "the recordings to end")
    await desk.recordings.stop()
    words = {row.id: row for row in await desk.rows(call_id=call_id)}.get(told[0].id)
    file = desk.folder / told[0].path
    if wanted:
        assert words is not None
        assert (words.channels, words.format, words.reason) == (Channels.CALLER, RecordingFormat.WAV, "it was said")
        assert words.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    else:
        assert (words, file.exists(), desk.recordings.keeper.deleted["unwanted"]) == (None, False, 1)


async def test_the_room_is_given_up_when_the_recording_is(desk: Desk) -> None:
    call_id = desk.call()
    desk.recordings.begin(call_id, QUIET)
    assert len(desk.house.facilities.media.rooms) == 1
    told = desk.recordings.end(call_id)
    assert (told.state, told.reason) == (RecordingState.FINISHING, "it was stopped")
    assert not desk.house.facilities.media.rooms  # the two are relayed again
    assert (await desk.ended()).reason == "it was stopped"
    desk.hang_up()


async def test_what_cannot_be_recorded_is_refused_with_its_reason(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no such call"):
        desk.recordings.begin("call_x", QUIET)
    alice, bob, house = desk.alice, desk.bob, desk.house
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 180 >> house
    (ringing,) = house.switch.calls
    with pytest.raises(Conflict, match="not answered"):
        desk.recordings.begin(ringing, QUIET)
    bob >> 200 >> house >> "ACK" >> bob
    house.wire.after(1)
    desk.recordings.begin(ringing, QUIET)
    with pytest.raises(Conflict, match="already"):
        desk.recordings.begin(ringing, QUIET)
    for refused in (desk.recordings.pause, desk.recordings.resume, desk.recordings.end):
        with pytest.raises(NotFound, match="not being recorded"):
            refused("call_x")
    with pytest.raises(Conflict, match="not paused"):
        desk.recordings.resume(ringing)
    with pytest.raises(NotFound):
        await desk.recordings.find("rec_x")
    with pytest.raises(Invalid):
        await desk.rows(limit=0)


async def test_an_echo_has_nobody_to_record(desk: Desk) -> None:
    desk.alice.number = "600"
    desk.alice >> "INVITE" >> desk.house >> 100 >> desk.alice
    desk.house.wire.after(1)
    (call_id,) = desk.house.switch.calls
    with pytest.raises(Conflict, match="echo"):
        desk.recordings.begin(call_id, QUIET)
    desk.hang_up()


async def test_nothing_of_a_pause_is_tapped(desk: Desk) -> None:
    call_id = desk.call()
    desk.recordings.begin(call_id, QUIET)
    await eventually(lambda: desk.heard(call_id, 0.1), "sound to be written")
    assert desk.recordings.pause(call_id).state is RecordingState.PAUSED
    assert all(one.taps == [] for one in desk.recordings._takes.values())
    with pytest.raises(Conflict, match="paused already"):
        desk.recordings.pause(call_id)
    assert (await desk.rows(state=RecordingState.PAUSED))[0].call_id == call_id
    desk.recordings.resume(call_id)
    desk.hang_up()
    assert (await desk.ended()).state is RecordingState.DONE


async def test_policy_records_every_call_that_two_answer(desk: Desk) -> None:
    desk.recordings.reload(ON)
    call_id = desk.call()
    assert desk.recordings.live(call_id) is not None
    desk.hang_up()
    assert (await desk.ended()).call_id == call_id
    (found,) = await desk.rows(call_id=call_id, since=WALL, until=WALL + 1e6)
    assert found.account_id == desk.house.record.account_id
    assert await desk.rows(call_id="call_other") == []


async def test_where_there_is_no_room_a_row_says_so_and_the_call_goes_on(desk: Desk) -> None:
    desk.recordings.reload(replace_settings(ON, min_free_mb=10_000_000))
    call_id = desk.call()
    (row,) = await desk.rows()
    assert (row.state, row.call_id) == (RecordingState.LOST, call_id)
    assert "too little room" in row.reason
    assert desk.recordings.refused == 1
    with pytest.raises(Unavailable):
        desk.recordings.begin(call_id, QUIET)
    with pytest.raises(NotFound, match="no sound"):
        await desk.recordings.file(row.id)
    assert Change.ANSWERED in desk.house.said
    desk.hang_up()


async def test_a_disk_that_fills_up_ends_recordings_and_no_call(desk: Desk) -> None:
    call_id = desk.call()
    desk.recordings.begin(call_id, QUIET)
    await eventually(lambda: desk.heard(call_id, 0.1), "sound to be written")
    desk.recordings.reload(replace_settings(ON, min_free_mb=10_000_000))
    desk.recordings.beat(WALL)
    row = await desk.ended()
    assert (row.state, row.reason) == (RecordingState.CUT, "the disk is full")
    assert desk.recordings.ended["the disk is full"] == 1
    assert len(desk.house.switch.calls) == 1
    desk.hang_up()


async def test_a_full_disk_ends_the_recording_with_what_found_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_writer: WavWriter, _samples: object) -> None:
        raise OSError(28, "No space left on device")

    call_id = desk.call()
    desk.recordings.begin(call_id, QUIET)
    await eventually(lambda: desk.heard(call_id, 0.1), "sound to be written")
    monkeypatch.setattr(WavWriter, "append", full)
    row = await desk.ended()
    assert (row.state, row.reason) == (RecordingState.CUT, "the disk is full")
    assert row.seconds > 0
    assert row.sha256 is not None
    assert len(desk.house.switch.calls) == 1
    assert not desk.house.facilities.media.rooms
    desk.hang_up()


async def test_a_disk_that_hangs_loses_its_recording_and_leaves_the_call(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, append = threading.Event(), WavWriter.append

    def slow(writer: WavWriter, samples: np.ndarray[Any, Any]) -> None:
        hanging.wait(8)
        append(writer, samples)

    monkeypatch.setattr(take, "RING_S", 1)
    monkeypatch.setattr(WavWriter, "append", slow)
    call_id = desk.call()
    desk.recordings.begin(call_id, QUIET)
    (going,) = desk.recordings._takes.values()
    await eventually(lambda: going.overrun, "the taps to overrun")
    desk.recordings.beat(WALL)
    assert desk.recordings.live(call_id) is None
    assert not desk.house.facilities.media.rooms  # relayed again, though the thread still hangs
    (row,) = await desk.rows()
    assert (row.state, row.reason) == (RecordingState.FINISHING, "the disk is too slow")
    hanging.set()
    row = await desk.ended()
    assert (row.state, row.reason) == (RecordingState.CUT, "the disk is too slow")
    assert desk.recordings.ended["the disk is too slow"] == 1
    assert len(desk.house.switch.calls) == 1
    desk.hang_up()


def left(number: int, **changes: Any) -> Recorded:
    """A row that an earlier process left, or that is long done."""
    at = WALL - 1000 * (10 - number)
    row = Recorded(
        id=f"rec_{number}",
        account_id="acc",
        node="node",
        call_id=f"call_{number}",
        room="",
        channels=Channels.STEREO,
        format=RecordingFormat.WAV,
        path=place_of(at, f"call_{number}"),
        state=RecordingState.RECORDING,
        reason="",
        started_at=at,
    )
    return replace(row, **changes)


def torn(folder: Path, recorded: Recorded, seconds: float) -> Path:
    """Its file as a kill leaves it: the header knows nothing yet."""
    path = folder / recorded.path
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = WavWriter(path, 8000, 2)
    writer.append(np.full((round(seconds * 8000), 2), 100, np.int16))
    writer._file.write(b"\x01\x02\x03")
    writer._file.close()
    return path


async def test_what_a_crash_left_is_mended_at_the_start(house: House, store: Store, tmp_path: Path) -> None:
    desk = Desk(house, store, tmp_path, ON)
    shelf = desk.recordings._shelf
    whole, gone, half = left(1), left(2), left(3, state=RecordingState.FINISHING, reason="the call ended", seconds=1.0)
    squeezed = replace(half, format=RecordingFormat.OPUS)
    others = left(4, node="another")
    for row in (whole, gone, squeezed, others):
        shelf.add(row)
    await store.drain()
    orphan = torn(desk.folder, left(5), 0.5)
    for row, seconds in ((whole, 1.5), (squeezed, 1.0)):
        torn(desk.folder, row, seconds)
    await desk.recordings.start("acc_default")
    await eventually(lambda: not desk.recordings.keeper._tasks, "all to be finished")
    rows = {row.call_id or row.room: row for row in await desk.rows()}
    mended = rows["call_1"]
    assert (mended.state, mended.reason, mended.seconds) == (RecordingState.CUT, RESTARTED, 1.5)
    assert mended.ended_at == mended.started_at + 1.5
    assert wav.read(desk.folder / mended.path).seconds == 1.5
    assert mended.sha256 == hashlib.sha256((desk.folder / mended.path).read_bytes()).hexdigest()
    assert (rows["call_2"].state, rows["call_2"].reason) == (RecordingState.LOST, RESTARTED)
    compressed = rows["call_3"]
    assert (compressed.state, compressed.format) == (RecordingState.DONE, RecordingFormat.OPUS)
    assert (desk.folder / compressed.path).read_bytes()[:4] == b"OggS"
    assert not (desk.folder / squeezed.path).exists()
    assert rows["call_4"].state is RecordingState.RECORDING  # another node's
    adopted = rows["call_5"]
    assert (adopted.state, adopted.account_id) == (RecordingState.CUT, "acc_default")
    assert desk.folder / adopted.path == orphan
    await desk.recordings.stop()


async def test_old_ones_go_and_then_the_oldest_above_the_quota(house: House, store: Store, tmp_path: Path) -> None:
    settings = replace_settings(ON, retention_days=1, quota_mb=1)
    desk = Desk(house, store, tmp_path, settings)
    await desk.recordings.start("acc")
    rows = [
        left(number, state=RecordingState.DONE, octets=400_000, started_at=WALL - age)
        for number, age in ((1, 100_000), (2, 5000), (3, 4000), (4, 3000))
    ]
    for row in rows:
        (desk.folder / row.path).parent.mkdir(parents=True, exist_ok=True)
        wav.write(desk.folder / row.path, Sound.silence(0.1, 8000))
        desk.recordings._shelf.add(row)
    await store.drain()
    desk.recordings.beat(WALL)
    keeper = desk.recordings.keeper
    await eventually(lambda: keeper._looking is not None and keeper._looking.done(), "the clean-up to be over")
    assert {row.id for row in await desk.rows()} == {"rec_3", "rec_4"}
    assert [(desk.folder / row.path).exists() for row in rows] == [False, False, True, True]
    assert keeper.deleted == {"retention": 1, "quota": 1, "request": 0, "unwanted": 0}
    assert keeper.octets == 800_000
    await desk.recordings.delete("rec_3")
    assert [row.id for row in await desk.rows()] == ["rec_4"]
    await desk.recordings.stop()


async def test_a_stop_ends_what_goes_on_whole(house: House, store: Store, tmp_path: Path) -> None:
    desk = Desk(house, store, tmp_path, ON)
    await desk.recordings.start("acc")
    call_id = desk.call()
    await eventually(lambda: desk.heard(call_id, 0.1), "sound to be written")
    await desk.recordings.stop()
    (row,) = await desk.rows()
    assert (row.state, row.reason) == (RecordingState.DONE, "the daemon stops")
    desk.hang_up()
