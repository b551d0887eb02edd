"""Flows of nodes that begin twice, at once or again, and calls that end while something is done for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dialplan.command import Outcome, Reply
from pbxd.calls.record import Direction
from pbxd.services.remote import Wanted
from tests.api.node_house import edge_house


async def test_two_beginnings_at_once_are_one(tmp_path: Path) -> None:
    async with edge_house(tmp_path) as house:
        edge, account = house.app.edge, house.account("lab")
        call = edge.calls.begin(Wanted(account, "abc123", Direction.INBOUND, "1", "2"), edge.now())
        answers = await asyncio.gather(
            *(edge.flows.start(call.record, "abc123", "reception", "lab", {}, answered=False) for _ in range(4))
        )
    assert [answer.command for answer in answers] == ["gather"] * 4
    assert len({answer.seq for answer in answers}) == 1


async def test_a_flow_that_ends_at_once_is_not_run_again_because_its_node_repeats_itself(tmp_path: Path) -> None:
    async with edge_house(tmp_path, "title: Closed\nparts: {main: [{tag: closed}, hangup]}\n") as house:
        told = {"callId": "abc123", "accountId": "lab", "flowId": house.flow(), "from": "1", "to": "2"}
        first = await house.post("/flow", told)
        assert (first["command"], first["done"]) == ("hangup", True)
        before = sum(house.app.edge.flows.endings.values())
        assert await house.post("/flow", told) == first
        assert sum(house.app.edge.flows.endings.values()) == before
        await house.post("/presence/event", {"type": "dialog", "callId": "abc123", "state": "ended"})
        await house.post("/flow", told)  # another call of the same name
        assert sum(house.app.edge.flows.endings.values()) == before + 1


async def test_a_call_that_ends_while_something_is_done_for_it_stays_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = "[{http: 'https://api.example/', on_failed: done}, {say: Hello.}, hangup]"
    flow = f"title: Asks\nparts: {{main: {main}, done: [hangup]}}\n"
    async with edge_house(tmp_path, flow) as house:
        edge, asking = house.app.edge, asyncio.Event()
        asked: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        async def web(_command: object) -> Reply:
            asking.set()
            return await asked

        monkeypatch.setattr(edge.flows, "_web", web)
        told = {"callId": "abc123", "accountId": "lab", "flowId": house.flow(), "from": "1", "to": "2"}
        beginning = asyncio.create_task(house.post("/flow", told))
        async with asyncio.timeout(10):
            await asking.wait()
        await house.post("/presence/event", {"type": "dialog", "callId": "abc123", "state": "ended"})
        endings = dict(edge.flows.endings)
        asked.set_result(Reply(Outcome.DONE, {}))
        answer = await beginning
        assert (answer["command"], answer["done"]) == ("noop", True)
        assert dict(edge.flows.endings) == endings  # it has ended once
