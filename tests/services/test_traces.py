"""Traces on their way to the store and back: found by every name, bounded in days and bytes, never waited for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import Connection, event, select

from media.headers import LegHeaders
from pbxd.services import traces as service
from pbxd.services.traces import (
    PAGE,
    PATIENCE_S,
    PRUNE_EVERY_S,
    RETRY_S,
    SEGMENT_CALLS,
    Keeping,
    Network,
    Traces,
)
from pbxd.store import Store, StoreError
from pbxd.store.queue import Write
from pbxd.store.schema import trace_segments
from pbxd.trace import Recorder, Recording, Sound, Topic, read_target
from pbxd.trace.recorder import LINGER_S
from tests.trace.test_recorder import HOUSE, PHONE, message

MOST_PAGES = 1073741823
WALL = 1_790_000_000.0
SECRET = b"d41d8cd98f00b204"


class Bench:
    """Traces with a clock that stands where it is put."""

    def __init__(self, store: Store, keeping: Keeping) -> None:
        self.now = 0.0
        self.recorder = Recorder(lambda now: WALL + now)
        network = Network(lambda _peer: "192.0.2.1", self._sounds, lambda: WALL + self.now)
        self.traces = Traces(self.recorder, store, network, keeping, "acc_1")
        self.store = store

    def _sounds(self, _names: object) -> tuple[Sound, ...]:
        return (Sound(("192.0.2.1", 4000), PHONE, LegHeaders(b"", 0)),)

    def call(self, number: int, size: int = 0, account: str = "acc_1") -> str:
        """One call that begins and ends now."""
        name = f"call_{number}"
        self.recorder.sip(False, message(f"dialog-{number}", size=size), "UDP", HOUSE, PHONE, self.now)
        self.recorder.began(name, f"dialog-{number}", account, self.now)
        self.recorder.note(name, Topic.STATE, "ended", self.now)
        self.recorder.ended(name, self.now)
        return name

    async def beat(self, seconds: float) -> None:
        """Let time pass, and everything that is due be written."""
        self.now += seconds
        self.traces.beat(self.now)
        if self.traces._task is not None:
            await self.traces._task

    async def written(self) -> None:
        """Let the calls that have ended go to the store."""
        await self.beat(LINGER_S)
        await self.beat(PATIENCE_S)

    async def segments(self) -> list[int]:
        """How many calls each has, the oldest first."""
        query = select(trace_segments.c.calls).order_by(trace_segments.c.ended_at)
        return [row.calls for row in await self.store.rows(query)]

    async def found(self, name: str) -> Recording:
        found = await self.traces.find(name)
        assert found is not None, name
        return found


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    store = await Store.open(store_url, interval_s=0.001)
    yield store
    await store.close()


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store, Keeping(days=7, size=1 << 20))


async def test_a_trace_is_found_before_and_after_it_is_written(bench: Bench, store: Store) -> None:
    name = bench.call(1)
    live = await bench.found(name)
    await bench.beat(LINGER_S)
    assert (bench.recorder.find(name), bench.traces.waiting, await bench.segments()) == (None, 1, [])
    assert await bench.found(name) == live
    await bench.beat(PATIENCE_S)
    assert (bench.traces.waiting, bench.traces.waiting_size, await bench.segments()) == (0, 0, [1])
    assert await bench.found(name) == await bench.found("dialog-1") == live
    assert await bench.traces.find("dialog-2") is None
    (row,) = await store.rows(select(trace_segments))
    assert (row.account_id, row.started_at, row.ended_at) == ("acc_1", WALL, WALL)
    assert row.size == len(row.data) + len(row.names)


async def test_many_calls_go_together_and_at_once(bench: Bench) -> None:
    names = [bench.call(number) for number in range(2 * SEGMENT_CALLS + 5)]
    await bench.beat(LINGER_S)
    assert await bench.segments() == [SEGMENT_CALLS, SEGMENT_CALLS, 5]
    assert bench.traces.written == len(names)
    assert [(await bench.found(name)).id for name in names] == names


async def test_large_calls_make_segments_of_fewer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SEGMENT_SIZE", 10_000)
    for number in range(4):
        bench.call(number, size=6000)
    await bench.beat(LINGER_S)
    assert await bench.segments() == [2, 2]


async def test_each_account_has_segments_of_its_own(bench: Bench, store: Store) -> None:
    for number, account in enumerate(["acc_1", "acc_2", "acc_1", ""]):
        bench.call(number, account=account)
    await bench.written()
    rows = await store.rows(select(trace_segments.c.account_id, trace_segments.c.calls))
    assert {(row.account_id, row.calls) for row in rows} == {("acc_1", 3), ("acc_2", 1)}
    assert (await bench.found("call_1")).account_id == "acc_2"


async def test_a_name_is_sought_through_all_segments(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "PAGE", 2)
    for number in range(5):
        bench.call(number)
        await bench.written()
    assert await bench.segments() == [1] * 5
    assert PAGE > 2
    assert [(await bench.found(f"dialog-{number}")).id for number in range(5)] == [f"call_{n}" for n in range(5)]
    assert await bench.traces.find("dialog-5") is None


async def test_a_checksum_that_two_names_share_does_not_mislead(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "checksums", lambda names: b"same" * len(names))
    for number in range(3):
        bench.call(number)
        await bench.written()
    assert (await bench.found("call_0")).id == "call_0"
    assert await bench.traces.find("call_9") is None


async def test_no_secret_reaches_the_store(bench: Bench, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "compress", b"".join)
    data = message("dialog-1").replace(b"CSeq", b'AUTHORIZATION: Digest response="' + SECRET + b'"\r\nCSeq')
    keys = b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + SECRET + b"|2^20\r\n"
    bench.recorder.sip(False, data + keys, "UDP", HOUSE, PHONE, 0.0)
    bench.call(1)
    await bench.written()
    (row,) = await store.rows(select(trace_segments.c.data))
    assert b"AUTHORIZATION: Digest response=" in row.data
    assert SECRET not in row.data
    assert row.data.count(b"*" * len(SECRET)) == 2


async def test_what_a_switch_saw_is_found_by_its_target(bench: Bench) -> None:
    bench.recorder.switch_on(read_target("10.0.0.2"), 60.0, 0.0)
    bench.recorder.sip(False, message("r", "REGISTER"), "UDP", HOUSE, PHONE, 1.0)
    assert (await bench.found("10.0.0.2")).ended_at is None
    await bench.beat(60.0)
    await bench.beat(PATIENCE_S)
    assert (bench.recorder.switches, await bench.segments()) == ({}, [1])
    found = await bench.found("10.0.0.2")
    assert [len(found.entries), found.ended_at] == [1, WALL + 60.0]


async def test_days_are_limited(bench: Bench) -> None:
    bench.call(1)
    await bench.written()
    await bench.beat(7 * 86400 - LINGER_S - PATIENCE_S - 1)
    assert await bench.segments() == [1]
    await bench.beat(PRUNE_EVERY_S + 2)
    assert await bench.segments() == []


async def test_room_is_limited_and_the_oldest_make_way(bench: Bench) -> None:
    for number in range(6):
        bench.call(number)
        await bench.written()
    sizes = [row.size for row in await bench.store.rows(select(trace_segments.c.size))]
    bench.traces.keeping = Keeping(days=7, size=sum(sizes) - sizes[0])
    await bench.beat(PRUNE_EVERY_S)
    assert await bench.traces.find("call_0") is None
    assert [(await bench.found(f"call_{number}")).id for number in range(1, 6)] == [f"call_{n}" for n in range(1, 6)]


async def test_none_are_written_where_none_are_wanted(bench: Bench) -> None:
    bench.traces.keeping = Keeping(days=0)
    bench.call(1)
    await bench.written()
    assert await bench.segments() == []
    assert (bench.traces.lost, bench.traces.written, bench.traces.waiting) == (0, 0, 0)


async def test_a_full_disk_keeps_traces_waiting_and_says_so(
    bench: Bench, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    pages = 1

    @event.listens_for(store._engine.sync_engine, "before_cursor_execute")
    def fill_up(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith("INSERT"):
            return
        if store._engine.dialect.name == "sqlite":  # itself refuses another page: "database or disk is full"
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        elif pages == 1:
            connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$")

    bench.call(1)
    bench.recorder.sip(True, message("dialog-1", "BYE") + random.Random(7).randbytes(7000), "UDP", HOUSE, PHONE, 0.0)
    await bench.written()
    assert (bench.traces.failures, bench.traces.lost, bench.traces.waiting) == (1, 0, 1)
    name = "SQLITE_FULL" if store._engine.dialect.name == "sqlite" else "DiskFullError"
    assert f"traces could not be written, 1 wait: the store cannot be written: {name}" in caplog.text
    assert (await bench.found("call_1")).id == "call_1"
    await bench.beat(RETRY_S - 1)
    assert bench.traces.failures == 1

    pages = MOST_PAGES
    await bench.beat(PATIENCE_S)
    assert (bench.traces.written, bench.traces.waiting, await bench.segments()) == (1, 0, [1])


async def test_what_waits_for_a_store_that_stands_still_is_bounded(
    bench: Bench, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = asyncio.Event()
    commit = store.commit

    async def slow(writes: Sequence[Write]) -> None:
        await moving.wait()
        await commit(writes)

    await bench.beat(0)
    monkeypatch.setattr(store, "commit", slow)
    monkeypatch.setattr(service, "MAX_WAITING_SIZE", 60_000)
    bench.call(0)
    bench.now += LINGER_S
    bench.traces.beat(bench.now)
    bench.now += PATIENCE_S
    bench.traces.beat(bench.now)
    await asyncio.sleep(0)
    for number in range(1, 10):
        bench.call(number, size=8000)
    bench.now += LINGER_S
    bench.traces.beat(bench.now)
    assert (bench.traces.lost, bench.traces.waiting) == (2, 8)
    assert bench.traces.waiting_size <= 60_000
    assert await bench.traces.find("call_2") is None
    assert (await bench.found("call_0")).id == "call_0"
    moving.set()
    await bench.beat(PATIENCE_S)
    assert (bench.traces.written, bench.traces.waiting) == (8, 0)


async def test_a_fault_of_ours_loses_a_segment_and_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(_parts: Sequence[bytes]) -> bytes:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(service, "compress", break_down)
        bench.call(1)
        await bench.written()
    assert (bench.traces.failures, bench.traces.lost, bench.traces.waiting) == (1, 1, 0)
    bench.call(2)
    await bench.written()
    assert bench.traces.written == 1


async def test_a_stop_writes_all_that_is_held(bench: Bench) -> None:
    bench.call(1)
    bench.recorder.began("call_2", "up", "acc_1", 0.0)
    bench.recorder.note("up", Topic.STATE, "started", 0.0)
    await bench.traces.stop(1.0)
    assert await bench.segments() == [2]
    assert (await bench.found("up")).ended_at is None


async def test_a_stop_with_a_dead_store_ends(bench: Bench, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_writes: Sequence[Write]) -> None:
        raise StoreError("the store is locked")

    monkeypatch.setattr(store, "commit", refuse)
    bench.call(1)
    await bench.traces.stop(1.0)
    assert bench.traces.failures == 1


async def test_the_sound_of_a_call_that_is_up_is_in_its_trace(bench: Bench) -> None:
    bench.recorder.began("call_1", "up", "acc_1", 0.0)
    assert [sound.remote for sound in (await bench.found("call_1")).sounds] == [PHONE]
