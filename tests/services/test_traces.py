"""Traces on their way to the store and back: found by every name, bounded in days and bytes, never waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from media.wire import LegHeaders
from pbxd.calls.record import CallChanged, CallRecord, Change, Direction, LegRecord, Role
from pbxd.events import Bus
from pbxd.services.traces import MAX_WAITING, PRUNE_EVERY_S, Keeping, Network, Traces
from pbxd.store import Store, sqlite_url
from pbxd.store.schema import call_legs, traces
from pbxd.trace import Recorder, Sound, Topic, read_target
from pbxd.trace.recorder import LINGER_S
from tests.trace.test_recorder import HOUSE, PHONE, message

WALL = 1_790_000_000.0


class Bench:
    """Traces with a clock that stands where it is put."""

    def __init__(self, store: Store, keeping: Keeping) -> None:
        self.now = 0.0
        self.recorder = Recorder(lambda now: WALL + now)
        self.asked: list[str] = []
        network = Network(self._local_ip, self._sounds, lambda: WALL + self.now)
        self.traces = Traces(self.recorder, store, network, keeping, "acc_1")
        self.bus = Bus()
        self.traces.listen(self.bus)
        self.store = store

    def _local_ip(self, peer: str) -> str:
        self.asked.append(peer)
        return "192.0.2.1"

    def _sounds(self, _names: object) -> tuple[Sound, ...]:
        return (Sound(("192.0.2.1", 4000), PHONE, LegHeaders(b"", 0)),)

    def call(self, number: int, size: int = 0, account: str = "acc_1") -> str:
        """One call that begins and ends now."""
        name = f"call_{number}"
        self.recorder.sip(False, message(f"dialog-{number}", size=size), "UDP", HOUSE, PHONE, self.now)
        record = CallRecord(name, account, Direction.INTERNAL, "1001", "", "1002", WALL + self.now)
        self.bus.publish(CallChanged(Change.STARTED, record))
        self.recorder.began(name, f"dialog-{number}", self.now)
        self.recorder.note(name, Topic.STATE, "ended", self.now)
        self.recorder.ended(name, self.now)
        return name

    async def beat(self, seconds: float) -> None:
        """Let time pass, and everything be written."""
        self.now += seconds
        self.traces.beat(self.now)
        if self.traces._task is not None:
            await self.traces._task
        await self.store.drain()

    async def kept(self) -> list[str]:
        return [row.id for row in await self.store.rows(select(traces.c.id).order_by(traces.c.ended_at))]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(sqlite_url(tmp_path / "pbxd.db"), interval_s=0.001)
    yield store
    await store.close()


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store, Keeping(days=7, size=1 << 20))


async def test_a_trace_is_found_before_and_after_it_is_written(bench: Bench, store: Store) -> None:
    name = bench.call(1, account="acc_2")
    live = await bench.traces.find(name)
    assert live is not None
    assert await bench.kept() == []
    await bench.beat(LINGER_S)
    assert await bench.kept() == ["call_1"]
    assert bench.recorder.find(name) is None
    assert await bench.traces.find(name) == live
    (row,) = await store.rows(select(traces))
    assert (row.account_id, row.target, row.started_at, row.ended_at) == ("acc_2", None, WALL, WALL)
    assert row.size == len(row.data)


async def test_a_written_trace_is_found_by_a_dialog(bench: Bench, store: Store) -> None:
    name = bench.call(1)
    await bench.beat(LINGER_S)
    leg = LegRecord("leg_1", Role.CALLER, "1001", "dialog-1", "udp:x", WALL)
    row = {"id": leg.id, "account_id": "acc_1", "call_id": name, "role": "caller", "party": "1001"}
    values = {**row, "sip_call_id": "dialog-1", "remote": "udp:x", "started_at": WALL}
    await store.commit([(call_legs.insert(), values)])
    found = await bench.traces.find("dialog-1")
    assert found is not None
    assert found.id == name
    assert await bench.traces.find("dialog-2") is None


async def test_what_a_switch_saw_is_found_by_its_target(bench: Bench) -> None:
    bench.recorder.switch_on(read_target("10.0.0.2"), 60.0, 0.0)
    bench.recorder.sip(False, message("r", "REGISTER"), "UDP", HOUSE, PHONE, 1.0)
    assert (await bench.traces.find("10.0.0.2")) is not None
    await bench.beat(60.0)
    assert bench.recorder.switches == {}
    found = await bench.traces.find("10.0.0.2")
    assert found is not None
    assert [len(found.entries), found.ended_at] == [1, WALL + 60.0]


async def test_days_are_limited(bench: Bench) -> None:
    bench.call(1)
    await bench.beat(LINGER_S)
    await bench.beat(7 * 86400 - LINGER_S - 1)
    assert await bench.kept() == ["call_1"]
    await bench.beat(PRUNE_EVERY_S + 2)
    assert await bench.kept() == []


async def test_room_is_limited_and_the_oldest_make_way(bench: Bench) -> None:
    for number in range(6):
        bench.call(number)
        await bench.beat(LINGER_S)
    sizes = [row.size for row in await bench.store.rows(select(traces.c.size))]
    bench.traces.keeping = Keeping(days=7, size=sum(sizes) - sizes[0])
    await bench.beat(PRUNE_EVERY_S)
    assert await bench.kept() == [f"call_{number}" for number in range(1, 6)]


async def test_none_are_written_where_none_are_wanted(bench: Bench) -> None:
    bench.traces.keeping = Keeping(days=0)
    bench.call(1)
    await bench.beat(LINGER_S)
    assert await bench.kept() == []
    assert (bench.traces.lost, bench.traces.written) == (0, 0)


async def test_a_store_that_cannot_follow_loses_traces_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pbxd.services.traces.MAX_WAITING", 3)
    for number in range(5):
        bench.call(number)
    await bench.beat(LINGER_S)
    assert bench.traces.lost == 2
    assert len(await bench.kept()) == 3 < MAX_WAITING
    monkeypatch.setattr("pbxd.services.traces.MAX_PENDING_ROWS", -1)
    bench.call(9)
    await bench.beat(LINGER_S)
    assert bench.traces.lost == 3


async def test_a_stop_writes_all_that_is_held(bench: Bench) -> None:
    bench.call(1)
    bench.recorder.began("call_2", "up", 0.0)
    bench.recorder.note("up", Topic.STATE, "started", 0.0)
    await bench.traces.stop(1.0)
    await bench.store.drain()
    assert set(await bench.kept()) == {"call_1", "call_2"}


async def test_the_sound_of_a_call_that_is_up_is_in_its_trace(bench: Bench) -> None:
    bench.recorder.began("call_1", "up", 0.0)
    found = await bench.traces.find("call_1")
    assert found is not None
    assert [sound.remote for sound in found.sounds] == [PHONE]
