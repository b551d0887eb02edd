"""Callers of nodes in the house's queues: who is rung for them, what an answer is worth, how they leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pbxd.calls.record import CallRecord
from pbxd.errors import Invalid
from pbxd.services.cdr import RecordFilter
from pbxd.services.queues import remote
from tests.api.node_house import THEIRS, EdgeHouse, edge_house

QUEUES = """
queues:
  support: {title: Support, members: ["1001", "1002"], announce_position: true, announce_first_s: 1, max_wait_s: 30}
  short: {members: ["1002"], max_wait_s: 1, wait_when_empty: true}
  full: {members: ["1002"], max_callers: 1}
"""
FLOW = """
title: Reception
parts:
  welcome:
    - enqueue: %s
      wait_when_empty: %s
      priority: 2
      leave_digit: "0"
      on_answered: after
      on_timeout: late
      on_no_agents: nobody
      on_queue_full: many
      on_digit: out
      on_failed: failed
  after: [say: Goodbye.]
  late: [say: Too late.]
  nobody: [say: Nobody.]
  many: [say: Too many.]
  out: [say: Out.]
  failed: [say: Failed.]
"""


def flow(queue: str = "support", waits: str = "yes") -> str:
    return FLOW % (queue, waits)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[EdgeHouse]:
    async with edge_house(tmp_path, flow(), QUEUES) as house:
        yield house


async def begun(house: EdgeHouse, call: str = "abc") -> Any:
    """A call whose flow has come to the queue."""
    said = await house.post("/flow", {"callId": call, "accountId": "lab", "flowId": "reception", "answered": True})
    assert said["command"] == "enqueue"
    return said


async def step(house: EdgeHouse, outcome: str, seq: int | None = None, call: str = "abc", **data: object) -> Any:
    body = {"callId": call, "accountId": "lab", "outcome": outcome, "data": data}
    return await house.post("/flow", body | ({} if seq is None else {"seq": seq}))


async def waits(house: EdgeHouse, call: str = "abc") -> Any:
    """How the caller stands."""
    said = await step(house, "waiting", call=call)
    assert said["command"] == "enqueue", said
    return said["args"]["standing"]


async def there(house: EdgeHouse, user: str = "1002", event: str = "login") -> Any:
    """An operator whose phone is registered at a node says something."""
    contact = f"sip:{user}@192.0.2.7"
    phone = {"type": "register", "accountId": "lab", "user": user, "contact": contact, "node": "n1"}
    await house.post("/presence/event", phone)
    return await house.post("/agent", {"accountId": "lab", "userId": user, "event": event})


async def agent(house: EdgeHouse, user: str = "1002") -> Any:
    return (await house.ask("GET", f"/agent?accountId=lab&userId={user}")).json


async def record(house: EdgeHouse, call: str = "abc") -> CallRecord:
    """What is written down once its node has said that it is over."""
    await house.post("/presence/event", {"type": "dialog", "callId": call, "accountId": "lab", "state": "ended"})
    await house.app.store.drain()
    return (await house.app.records.page(RecordFilter()))[0]


def said_by(command: Any) -> str:
    return str(command["args"]["sounds"][0]["value"])


async def test_the_node_rings_who_is_offered_and_the_lease_decides(house: EdgeHouse) -> None:
    first = await begun(house)
    assert (await waits(house))["offers"] == [], "nobody is logged in"
    seen = await there(house)
    assert (seen["status"], seen["reachable"]) == ("available", True)
    stands = await waits(house)
    assert (stands["state"], stands["position"], stands["queue"], stands["title"]) == (
        *("offered", 1, "support", "Support"),
    )
    (offer,) = stands["offers"]
    assert (offer["agent"], offer["contacts"]) == ("1002", ["sip:1002@192.0.2.7"])
    assert 18 < offer["ring_s"] <= 20
    assert (await agent(house))["state"] == "offering"
    confirm = f"/agent/confirm/lab/{offer['lease_id']}"
    assert (await house.ask("GET", f"{confirm}/{offer['epoch'] - 1}")).status == 409
    assert (await house.ask("GET", f"{confirm}/{offer['epoch']}", key=THEIRS)).status == 404
    answer = await house.ask("GET", f"{confirm}/{offer['epoch']}")
    assert (answer.status, answer.json["user"]) == (200, "1002")
    assert (await house.ask("GET", f"{confirm}/{offer['epoch']}")).status == 409, "once"
    stands = await waits(house)
    assert (stands["state"], stands["agent"], stands["offers"], stands["position"]) == ("talking", "1002", [], None)
    assert (await agent(house))["state"] == "in_call"
    after = await step(house, "answered", first["seq"])
    assert said_by(after) == "Goodbye."
    assert await step(house, "answered", first["seq"]) == after, "said again"
    assert (await agent(house))["state"] == "wrap_up"
    told = await record(house)
    assert (told.queue, told.queue_exit, told.operator) == ("support", "answered", "1002")
    today = house.app.call_centre.queues.queue(house.account("lab"), "support").today
    assert (today.entered, today.handled) == (1, 1)


@pytest.mark.parametrize(("why", "missed"), [("declined", 1), ("unreachable", 0)])
async def test_a_phone_that_refuses_is_followed_by_the_next(house: EdgeHouse, why: str, missed: int) -> None:
    await there(house, "1002")
    first = await begun(house)
    (offer,) = (await waits(house))["offers"]
    await there(house, "1001")
    refusal = {"lease_id": offer["lease_id"], "epoch": offer["epoch"], "why": why}
    stale = await step(house, "waiting", **refusal | {"epoch": offer["epoch"] - 1})
    assert [one["agent"] for one in stale["args"]["standing"]["offers"]] == ["1002"]
    said = await step(house, "waiting", first["seq"], **refusal)
    assert [one["agent"] for one in said["args"]["standing"]["offers"]] == ["1001"]
    assert (await agent(house, "1002"))["state"] == "waiting"
    queues = house.app.call_centre.queues
    (seen,) = [one for one in queues.operators(house.account("lab")) if one.name == "1002"]
    assert seen.missed_in_a_row == missed


async def test_of_all_who_claim_the_first_gets_the_caller(house: EdgeHouse) -> None:
    await begun(house)
    await waits(house)
    for user in ("1001", "1002"):
        await there(house, user)
    claims = [house.ask("GET", f"/agent/claim/lab/{user}/abc") for user in ("1001", "1002") * 50]
    answers = await asyncio.gather(*claims)
    assert sorted(answer.status for answer in answers) == [200] + [409] * 99
    (winner,) = [answer.json["user"] for answer in answers if answer.status == 200]
    assert (await waits(house))["agent"] == winner
    assert (await agent(house, {"1001": "1002", "1002": "1001"}[winner]))["state"] == "waiting"


async def test_where_the_caller_stands_is_told_now_and_then(house: EdgeHouse) -> None:
    for call in ("one", "two"):
        await begun(house, call)
        await waits(house, call)
    assert (await waits(house, "two"))["announce"] is None
    while (told := (await waits(house, "two"))["announce"]) is None:  # noqa: ASYNC110 - as a node does it
        await asyncio.sleep(0.02)
    assert told == {"number": 1, "position": 2, "expected_s": None}
    assert (await waits(house, "one"))["announce"]["position"] == 1


async def all_gone(house: EdgeHouse) -> None:
    """The house's own timers run."""
    async with asyncio.timeout(5):
        while house.app.call_centre.queues.callers(house.account("lab")):  # noqa: ASYNC110 - its clock is real
            await asyncio.sleep(0.02)


async def test_who_waits_too_long_goes_on_in_the_flow(tmp_path: Path) -> None:
    async with edge_house(tmp_path, flow("short"), QUEUES) as house:
        first = await begun(house)
        await waits(house)
        await all_gone(house)
        late = await step(house, "waiting", first["seq"])
        assert said_by(late) == "Too late."
        assert await step(house, "waiting", first["seq"]) == late, "said again"
        told = await record(house)
        assert (told.queue, told.queue_exit, told.operator) == ("short", "timeout", None)


async def test_who_may_not_wait_goes_on_at_once(tmp_path: Path) -> None:
    async with edge_house(tmp_path, flow(waits="no"), QUEUES) as house:
        await begun(house)
        assert said_by(await step(house, "waiting")) == "Nobody."
        theirs = house.app.telephony.dialplans.flows.of(house.account("other"))
        with pytest.raises(Invalid, match="there is no queue support"):
            await theirs.put("reception", flow(), "theirs")
        await begun(house, "late")
        queues = house.app.call_centre.queues
        queues.configure(house.account("lab"), {}, queues.facilities.clock())
        assert said_by(await step(house, "waiting", call="late")) == "Failed.", "the queue has gone meanwhile"


async def test_a_full_queue(tmp_path: Path) -> None:
    async with edge_house(tmp_path, flow("full"), QUEUES) as house:
        await begun(house, "one")
        await waits(house, "one")
        await begun(house, "two")
        assert said_by(await step(house, "waiting", call="two")) == "Too many."
        assert said_by(await step(house, "digit:0", call="one")) == "Out."
        assert (await record(house, "one")).queue_exit == "digit"


async def test_a_call_that_is_over_has_given_up(house: EdgeHouse) -> None:
    await begun(house)
    await waits(house)
    await there(house)
    told = await record(house)
    assert (told.queue, told.queue_exit, told.operator) == ("support", "abandon", None)
    seen = await agent(house)
    assert (seen["state"], seen["lease"]) == ("waiting", None)


async def test_a_node_that_asks_no_more_has_lost_its_caller(house: EdgeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    await begun(house)
    await waits(house)
    monkeypatch.setattr(remote, "PATIENCE_S", 0.0)
    await all_gone(house)
    assert house.app.call_centre.queues.exits["abandon"] == 1


async def test_a_node_with_queues_of_its_own_disturbs_nobody(house: EdgeHouse) -> None:
    """It says what came of the command, as ever, and no operator is rung for its caller."""
    await there(house)
    first = await begun(house)
    assert (await agent(house))["state"] == "waiting"
    assert said_by(await step(house, "timeout", first["seq"])) == "Too late."


@pytest.mark.parametrize("said", [{"outcome": "nonsense"}, {"outcome": "timeout", "seq": 999}])
async def test_who_says_what_cannot_be_keeps_its_place(house: EdgeHouse, said: dict[str, object]) -> None:
    await begun(house)
    await waits(house)
    refused = await house.ask("POST", "/flow", {"callId": "abc", "accountId": "lab", **said})
    assert refused.status == (409 if "seq" in said else 400)
    assert (await waits(house))["position"] == 1
    assert sum(house.app.call_centre.queues.exits.values()) == 0


async def test_who_only_waits_is_not_written_down_each_time(house: EdgeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    edge, written = house.app.edge, list[str | None]()
    monkeypatch.setattr(edge.kept, "save", lambda call: written.append(call.record.queue))
    await begun(house)
    for _ in range(5):
        await waits(house)
        edge.calls.save()
    assert written == ["support"]
    (call,) = edge.calls.live()
    call.written_at -= 60
    await waits(house)
    edge.calls.save()
    assert written == ["support"] * 2
    assert call.written_at == call.touched


async def test_waiting_is_of_enqueue(house: EdgeHouse) -> None:
    first = await begun(house)
    await step(house, "timeout", first["seq"])
    body = {"callId": "abc", "accountId": "lab", "outcome": "waiting"}
    assert (await house.ask("POST", "/flow", body)).status == 400
    assert (await house.ask("POST", "/flow", body | {"seq": first["seq"]})).status == 409


async def test_an_operator_in_a_call_at_a_node_is_left_alone(house: EdgeHouse) -> None:
    await there(house)
    await house.post("/route", {"callId": "other", "from": "1002", "fromDomain": "lab.example", "to": "1001"})
    await begun(house)
    assert (await waits(house))["offers"] == []
    assert (await agent(house))["on_call"] is True
    await house.post("/presence/event", {"type": "dialog", "callId": "other", "accountId": "lab", "state": "ended"})
    assert (await agent(house))["on_call"] is False
    assert [one["agent"] for one in (await waits(house))["offers"]] == ["1002"]


async def test_a_restart_costs_nobody_at_a_node_their_place(tmp_path: Path) -> None:
    async with edge_house(tmp_path, flow(), QUEUES) as house:
        await begun(house, "first")
        await waits(house, "first")
        await house.app.store.drain()
    async with edge_house(tmp_path, flow(), QUEUES) as house:
        await begun(house, "second")
        assert (await waits(house, "second"))["position"] == 1
        assert (await waits(house, "first"))["position"] == 1
        assert (await waits(house, "second"))["position"] == 2
        today = house.app.call_centre.queues.queue(house.account("lab"), "support").today
        assert (today.entered, today.exits["interrupted"]) == (2, 0)
        assert house.app.call_centre.queues.exits["interrupted"] == 0
        await house.app.store.drain()
        (first,) = house.app.edge.calls.find([house.account("lab")], "first")
        written = await house.app.records.find(first.record.id)
        assert written is None or written.queue_exit is None


async def test_who_hangs_up_at_a_node_meanwhile_has_given_up(tmp_path: Path) -> None:
    async with edge_house(tmp_path, flow(), QUEUES) as house:
        await begun(house)
        await waits(house)
    async with edge_house(tmp_path, flow(), QUEUES) as house:
        told = await record(house)
        assert (told.queue, told.queue_exit) == ("support", "abandon")


async def test_an_operator_is_free_whose_conversation_ended_before_a_crash(tmp_path: Path) -> None:
    """The call was over, and its queue had not written it down yet."""
    async with edge_house(tmp_path, flow(), QUEUES) as house:
        await there(house)
        await begun(house)
        (offer,) = (await waits(house))["offers"]
        await house.ask("GET", f"/agent/confirm/lab/{offer['lease_id']}/{offer['epoch']}")
        queues, edge = house.app.call_centre.queues, house.app.edge
        queues.save(edge.now())
        queues.archive.save = lambda *_: None  # type: ignore[method-assign]
        told = await record(house)
    async with edge_house(tmp_path, flow(), QUEUES) as house:
        await there(house, event="available")
        assert (await agent(house))["state"] != "in_call"
        await house.app.store.drain()
        again = await house.app.records.find(told.id)
        assert again is not None
        assert (again.queue, again.queue_exit, again.operator) == ("support", "answered", "1002")


@pytest.mark.parametrize("end", ["answered", "over"])
async def test_a_conversation_at_a_node_goes_on_through_a_restart(tmp_path: Path, end: str) -> None:
    async with edge_house(tmp_path, flow(), QUEUES) as house:
        await there(house)
        await begun(house)
        (offer,) = (await waits(house))["offers"]
        await house.ask("GET", f"/agent/confirm/lab/{offer['lease_id']}/{offer['epoch']}")
    async with edge_house(tmp_path, flow(), QUEUES) as house:
        await there(house, event="available")
        assert (await agent(house))["state"] == "in_call", "nobody else is offered to them"
        stands = await waits(house)
        assert (stands["state"], stands["agent"], stands["offers"]) == ("talking", "1002", [])
        if end == "answered":
            assert said_by(await step(house, "answered")) == "Goodbye."
            assert (await agent(house))["state"] == "wrap_up"
        told = await record(house)
        assert (told.queue, told.queue_exit, told.operator) == ("support", "answered", "1002")
        assert (await agent(house))["state"] == "wrap_up"
        today = house.app.call_centre.queues.queue(house.account("lab"), "support").today
        assert (today.entered, today.handled, today.exits["interrupted"]) == (1, 1, 0)
