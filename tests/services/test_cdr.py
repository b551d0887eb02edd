"""Call records: written as the call changes, there after a restart, ended even when the process was not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pbxd.calls.record import CallChanged, CallRecord, Change, Direction, LegQuality, LegRecord, Result, Role
from pbxd.errors import Invalid
from pbxd.events import Bus
from pbxd.services.cdr import MAX_PAGE, ORPHAN_REASON, CallRecords, RecordFilter
from pbxd.store import Store

START = 1_790_000_000.0
QUALITY = LegQuality(1000, 990, 10, 1.0, 2.5, 40.0, None, 4.1)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    store = await Store.open(store_url)
    yield store
    await store.close()


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def records(store: Store, bus: Bus) -> CallRecords:
    records = CallRecords(store, "node-1")
    records.listen(bus)
    return records


def _call(name: str = "1", at: float = START) -> CallRecord:
    return CallRecord(f"call_{name}", "acc_1", Direction.INTERNAL, "1001", "Ann", "1002", started_at=at)


def _talk(bus: Bus, record: CallRecord, result: Result = Result.SUCCESS) -> CallRecord:
    """Carry a call through its life, to its end 12 s after its start."""
    bus.publish(CallChanged(Change.STARTED, record))
    record.ringing_at = record.started_at + 1
    bus.publish(CallChanged(Change.RINGING, record))
    record.answered_at = record.started_at + 2
    bus.publish(CallChanged(Change.ANSWERED, record))
    bus.publish(CallChanged(Change.HELD, record))
    record.ended_at = record.started_at + 12
    record.result, record.sip_status, record.q850, record.reason, record.ended_by = result, 200, 16, "bye", "callee"
    for role, codec in ((Role.CALLER, "PCMU"), (Role.CALLEE, "PCMA")):
        leg = LegRecord(f"leg_{record.id}_{role}", role, "1001", f"{role}@x", "udp:127.0.0.1:5062", record.started_at)
        leg.codec, leg.answered_at, leg.quality = codec, record.answered_at, QUALITY if codec == "PCMA" else None
        record.legs.append(leg)
    bus.publish(CallChanged(Change.ENDED, record))
    return record


async def test_a_call_comes_back_as_it_was(records: CallRecords, store: Store, bus: Bus) -> None:
    record = _talk(bus, _call())
    await store.drain()
    assert await records.find("call_1") == record
    assert await records.page(RecordFilter()) == [record]
    assert await records.find("call_2") is None
    assert (records.packets_received, records.packets_lost) == (1000, 10)
    assert records.results == {
        Result.SUCCESS: 1,
        Result.CLIENT: 0,
        Result.SERVER: 0,
        Result.UPSTREAM: 0,
        Result.UNKNOWN: 0,
    }


async def test_a_call_that_is_up_has_a_record_and_no_place_among_the_ended(
    records: CallRecords, store: Store, bus: Bus
) -> None:
    record = _call()
    bus.publish(CallChanged(Change.STARTED, record))
    record.ringing_at, record.answered_at = START + 1, START + 2
    bus.publish(CallChanged(Change.ANSWERED, record))
    await store.drain()
    assert await records.find("call_1") == record
    assert await records.page(RecordFilter()) == []


async def test_a_call_that_was_never_answered_ends_all_the_same(records: CallRecords, store: Store, bus: Bus) -> None:
    record = _call()
    bus.publish(CallChanged(Change.STARTED, record))
    record.ended_at, record.result, record.sip_status = START + 3, Result.UPSTREAM, 486
    bus.publish(CallChanged(Change.ENDED, record))
    await store.drain()
    assert await records.find("call_1") == record
    assert records.results[Result.UPSTREAM] == 1


async def test_pages_go_back_in_time(records: CallRecords, store: Store, bus: Bus) -> None:
    for number in range(5):
        _talk(bus, _call(str(number), START + number), Result.CLIENT if number % 2 else Result.SUCCESS)
    await store.drain()

    async def ids(wanted: RecordFilter) -> list[str]:
        return [record.id for record in await records.page(wanted)]

    assert await ids(RecordFilter(limit=2)) == ["call_4", "call_3"]
    assert await ids(RecordFilter(limit=2, before="call_3")) == ["call_2", "call_1"]
    assert await ids(RecordFilter(limit=2, before="call_1")) == ["call_0"]
    assert await ids(RecordFilter(result=Result.CLIENT)) == ["call_3", "call_1"]
    assert await ids(RecordFilter(since=START + 3)) == ["call_4", "call_3"]
    assert await ids(RecordFilter(since=START + 2, before="call_4", result=Result.SUCCESS)) == ["call_2"]


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
async def test_a_page_has_a_size(records: CallRecords, limit: int) -> None:
    with pytest.raises(Invalid, match=f"between 1 and {MAX_PAGE}"):
        await records.page(RecordFilter(limit=limit))


@pytest.mark.parametrize(
    ("answered", "beat", "ended"),
    [
        (None, None, START),  # died before the first heartbeat, while ringing
        (START + 5, None, START + 5),  # died right after the answer
        (START + 5, START + 9.5, START + 9.5),  # seen alive while talking
        (START + 5, START - 60, START + 5),  # a heartbeat of an older call
    ],
)
async def test_a_call_that_died_with_the_process_is_ended_at_the_next_start(
    store_url: str, bus: Bus, answered: float | None, beat: float | None, ended: float
) -> None:
    store = await Store.open(store_url)
    records = CallRecords(store, "node-1")
    records.listen(bus)
    record = _call()
    bus.publish(CallChanged(Change.STARTED, record))
    if answered:
        record.answered_at = answered
        bus.publish(CallChanged(Change.ANSWERED, record))
    if beat:
        records.beat(beat - 1)
        records.beat(beat)
    await store.close()

    again = await Store.open(store_url)
    records = CallRecords(again, "node-1")
    assert await records.close_orphans() == 1
    expected = replace(record, ended_at=ended, result=Result.UNKNOWN, reason=ORPHAN_REASON, ended_by="house")
    assert await records.find("call_1") == expected
    assert records.results[Result.UNKNOWN] == 1
    assert await records.close_orphans() == 0
    await again.close()


async def test_calls_of_another_node_are_left_alone(records: CallRecords, store: Store, bus: Bus) -> None:
    bus.publish(CallChanged(Change.STARTED, _call()))
    await store.drain()
    assert await CallRecords(store, "node-2").close_orphans() == 0
    record = await records.find("call_1")
    assert record is not None
    assert record.ended_at is None


async def test_the_heart_beats_only_while_calls_are_up(records: CallRecords, store: Store, bus: Bus) -> None:
    records.beat(START)
    assert store.pending == 0
    record = _talk(bus, _call())
    await store.drain()
    records.beat(record.started_at + 20)
    assert store.pending == 0
    bus.publish(CallChanged(Change.STARTED, _call("2")))
    records.beat(START)
    assert store.pending == 2


async def test_listening_ends(records: CallRecords, store: Store) -> None:
    other = Bus()
    stop = CallRecords(store, "node-1").listen(other)
    stop()
    other.publish(CallChanged(Change.STARTED, _call()))
    assert store.pending == 0
