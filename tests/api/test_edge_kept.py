"""Calls on nodes go on when the house is started anew: counted, known and recorded as before, and over in time. On
either kind of store."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from pbxd import control
from pbxd.calls.record import Direction, Result
from pbxd.services.cdr import RecordFilter
from pbxd.services.remote import Ended, Wanted
from pbxd.store.schema import edge_calls
from tests.api.node_house import EdgeHouse, edge_house


def store_at(url: str) -> str:
    """The section that says so."""
    return f"store: {{url: '{url}'}}\n"


async def routed(house: EdgeHouse, call: str, called: str = "1002") -> Any:
    body = {"callId": call, "from": "1001", "fromDomain": "lab.example", "to": called, "node": "edge-1"}
    return (await house.post("/route", body))["rtjson"]


async def event(house: EdgeHouse, call: str, state: str) -> Any:
    return await house.post("/presence/event", {"type": "dialog", "callId": call, "state": state})


async def counters(house: EdgeHouse) -> dict[str, int]:
    """What is counted, by scope and id, without what is zero; the account is `account`."""
    found = (await house.ask("GET", "/cac?accountId=lab")).json
    named = {f"{one['scope']} {one['id']}": one["current"] for one in found["counters"] if one["current"]}
    return {name.replace(f" {found['accountId']}", ""): count for name, count in named.items()}


async def test_they_are_counted_known_and_recorded_as_before(tmp_path: Path, store_url: str) -> None:
    async with edge_house(tmp_path, more=store_at(store_url)) as house:
        told = await routed(house, "up")
        await event(house, "up", "answered")
        await routed(house, "out", "14155551234")
        await routed(house, "short")
        (first,) = house.app.edge.calls.find([house.account("lab")], "up")
        said = first.record
        said.queue, said.queue_exit, said.queue_wait_s = "support", "answered", 1.5
        said.operator, said.flow = "1002", "reception/welcome.1"
        before = await counters(house)
        assert before == {"account": 3, "user 1001": 3, "user 1002": 2, "trunk carrier": 1}
        control.beat(house.app.edge)
        await event(house, "short", "ended")
    async with edge_house(tmp_path, more=store_at(store_url)) as house:
        assert await counters(house) == {"account": 2, "user 1001": 2, "user 1002": 1, "trunk carrier": 1}
        (again,) = house.app.edge.calls.find([house.account("lab")], "up")
        assert (again.record, again.callee, again.answer["aor"]) == (first.record, "1002", "sip:1002@lab.example")
        assert await routed(house, "up") == told  # asked again, it is the same call
        presence = (await house.ask("GET", "/presence/registrations?accountId=lab")).json["users"]
        assert {one["user"]: one["calls"] for one in presence} == {"1001": 2, "1002": 1}
        live = (await house.ask("GET", "/cac?accountId=lab")).json["calls"]
        assert {one["to"]: one["answered"] for one in live} == {"1002": True, "14155551234": False}
        house.app.telephony.switch.gate._reconcile(house.app.telephony.switch.gate.alive(), 0.0)
        assert house.app.telephony.switch.gate.limits.leaks == 0
        for call in ("up", "out"):
            assert (await event(house, call, "ended"))["changed"] is True
        assert await counters(house) == {}
        trace = (await house.ask("GET", "/calls/up/trace")).json
        assert "the house was started anew, and the call goes on at its node" in json.dumps(trace)
        await house.app.store.drain()
        assert await house.app.store.rows(select(edge_calls)) == []
        found = {record.called: record for record in await house.app.records.page(RecordFilter())}
        assert len(await house.app.records.page(RecordFilter())) == 3
        record = found["14155551234"]
        assert (record.result, record.reason) == (Result.CLIENT, "the node said that it is over")
    async with edge_house(tmp_path, more=store_at(store_url)) as house:
        assert len(house.app.edge.calls) == 0


async def test_one_of_which_nothing_is_heard_any_more_is_over_in_time(tmp_path: Path, store_url: str) -> None:
    async with edge_house(tmp_path, more=store_at(store_url)) as house:
        await routed(house, "silent")
        control.beat(house.app.edge)
        await house.app.store.drain()
        long_ago = house.app.edge.wall() - house.app.edge.calls.patience.setup_s
        await house.app.store.commit([(update(edge_calls).values(touched_at=long_ago), {})])
        house.app.edge.calls._unsaved.clear()
    async with edge_house(tmp_path, more=store_at(store_url)) as house:
        control.beat(house.app.edge)
        assert house.app.edge.calls.ends[Ended.SILENT] == 1
        assert await counters(house) == {}
        await house.app.store.drain()
        (record,) = await house.app.records.page(RecordFilter())
        assert (record.result, record.reason) == (Result.UNKNOWN, "nothing was heard of it any more")


@pytest.mark.parametrize("data", ["[]", '{"name": "x", "record": {"nobody": 1}}'])
async def test_what_cannot_be_read_is_no_call(tmp_path: Path, store_url: str, data: str) -> None:
    async with edge_house(tmp_path, more=store_at(store_url)) as house:
        await routed(house, "odd")
        (call,) = house.app.edge.calls.live()
        house.app.edge.calls._unsaved.clear()  # as if the house were killed within the second
        row = {"id": call.record.id, "account_id": house.account("lab"), "node": house.app.config.node}
        await house.app.store.commit([(insert(edge_calls), {**row, "touched_at": 0.0, "data": data})])
    for _ in range(2):
        async with edge_house(tmp_path, more=store_at(store_url)) as house:
            assert len(house.app.edge.calls) == 0
            assert await counters(house) == {}
            records = await house.app.records.page(RecordFilter())
    assert [record.result for record in records] == [Result.UNKNOWN]


async def test_another_house_on_the_same_store_has_calls_of_its_own(tmp_path: Path, store_url: str) -> None:
    async with edge_house(tmp_path, more=store_at(store_url)) as house:
        await routed(house, "mine")
        control.beat(house.app.edge)
        await house.app.store.drain()
        await house.app.store.commit([(update(edge_calls).values(node="another"), {})])
        house.app.edge.calls._unsaved.clear()
    async with edge_house(tmp_path, more=store_at(store_url)) as house:
        assert len(house.app.edge.calls) == 0
        assert len(await house.app.store.rows(select(edge_calls))) == 1


async def test_many_calls_are_written_down_a_few_at_a_time(tmp_path: Path) -> None:
    async with edge_house(tmp_path) as house:
        edge, account = house.app.edge, house.account("lab")
        for number in range(2 * control.SLICE + 1):
            edge.calls.begin(Wanted(account, f"c{number}", Direction.INBOUND, "1", "2"), edge.now())
        control.beat(edge)
        assert edge.calls.save(0)  # there are more
        async with asyncio.timeout(5):
            while edge.calls.save(0):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await house.app.store.drain()
        assert len(await house.app.store.rows(select(edge_calls))) == 2 * control.SLICE + 1
