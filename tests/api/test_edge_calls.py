"""A node's calls: where they go, their flows, what becomes of them, and what is left to read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from pbxd.calls.record import CallRecord, Result
from pbxd.calls.routing import Route
from pbxd.errors import Overloaded
from pbxd.services.cdr import RecordFilter
from pbxd.services.remote import Ended
from pbxd.sip.flow import Transport
from pbxd.store.schema import edge_sessions
from tests.api.node_house import ADMIN, FLOW, THEIRS, EdgeHouse, digest, edge_house
from tests.clients.hand import calling


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[EdgeHouse]:
    async with edge_house(tmp_path) as house:
        yield house


async def routed(house: EdgeHouse, call: str, caller: str, domain: str, called: str, key: str = ADMIN) -> Any:
    body = {"callId": call, "from": caller, "fromDomain": domain, "to": called}
    return (await house.post("/route", body, key=key))["rtjson"]


async def event(house: EdgeHouse, call: str, state: str, **more: object) -> Any:
    return await house.post("/presence/event", {"type": "dialog", "callId": call, "state": state, **more})


async def records(house: EdgeHouse) -> list[CallRecord]:
    await house.app.store.drain()
    return await house.app.records.page(RecordFilter())


async def test_who_is_in_a_call_at_a_node_is_busy_everywhere(house: EdgeHouse) -> None:
    """The roster says so, and no queue offers them a call."""

    async def in_call() -> set[str]:
        users = (await house.ask("GET", "/presence/users?accountId=lab", key=ADMIN)).json["users"]
        return {one["user"] for one in users if one["in_call"]}

    queues, lab = house.app.edge.queues, house.account("lab")
    await routed(house, "c1", "1001", "lab.example", "1002")
    await event(house, "c1", "answered")
    assert await in_call() == queues.busy(lab) == {"1001", "1002"}
    assert queues.busy(house.account("other")) == set()
    await routed(house, "c2", "1001", "lab.example", "600")
    await event(house, "c1", "ended")
    assert await in_call() == {"1001"}
    await event(house, "c2", "ended")
    assert await in_call() == set()


# ---- /route


async def test_a_number_of_ours_runs_its_flow(house: EdgeHouse) -> None:
    """The page's own example, in its own shape."""
    told = await routed(house, "abc123", "14155551234", "carrier.example", "12025550123")
    assert {key: told[key] for key in ("action", "account_id", "flow_id", "vars")} == {
        "action": "flow",
        "account_id": house.account("lab"),
        "flow_id": house.flow(),
        "vars": {"caller_cid": "14155551234"},
    }
    assert told["flow_id"].startswith("flow_")
    assert len(told["flow_id"]) == 31
    plus = await routed(house, "abc124", "+14155551234", "carrier.example", "+12025550123")
    assert (plus["flow_id"], plus["vars"]) == (told["flow_id"], {"caller_cid": "14155551234"})
    user = await routed(house, "abc125", "14155551234", "carrier.example", "12025550124")
    assert (user["action"], user["aor"]) == ("proxy", "sip:1002@lab.example")


async def test_an_extension_is_proxied_to_whether_it_is_there_or_not(house: EdgeHouse) -> None:
    told = await routed(house, "c1", "1001", "lab.example", "1002")
    assert (told["action"], told["aor"], told["registered"]) == ("proxy", "sip:1002@lab.example", False)
    await house.post("/presence/event", {"type": "register", "user": "sip:1002@lab.example", "expires": 60})
    assert (await routed(house, "c2", "1001", "lab.example", "1002"))["registered"] is True
    echo = await routed(house, "c3", "sip:1001@lab.example", "", "sip:600@lab.example:5060;transport=tcp")
    assert (echo["action"], echo["aor"], echo["registered"]) == ("proxy", "sip:600@lab.example", True)


async def test_what_is_outside_leaves_by_a_trunk(house: EdgeHouse) -> None:
    told = await routed(house, "c1", "1001", "lab.example", "14155551234")
    assert {key: told[key] for key in ("action", "trunk", "proxy", "number", "vars")} == {
        "action": "outbound",
        "trunk": "carrier",
        "proxy": "sip:192.0.2.9",
        "number": "14155551234",
        "vars": {"caller_cid": "12025550199"},
    }


async def test_the_rest_is_refused_with_a_status(house: EdgeHouse) -> None:
    assert (await routed(house, "c1", "1001", "lab.example", "777"))["code"] == 404
    assert (await routed(house, "c2", "14155551234", "lab.example", "1002"))["code"] == 403
    assert (await routed(house, "c3", "1001", "nowhere.example", "1002"))["code"] == 404
    ended = {record.called: (record.result, record.sip_status, record.ended_by) for record in await records(house)}
    assert ended == {"777": (Result.CLIENT, 404, "house"), "1002": (Result.CLIENT, 403, "house")}


async def test_a_call_asked_about_again_is_the_same_call(house: EdgeHouse) -> None:
    first = await routed(house, "c1", "1001", "lab.example", "1002")
    assert await routed(house, "c1", "1001", "lab.example", "1002") == first
    assert len(house.app.edge.calls) == 1
    body = {"callId": "c1", "from": "1001", "fromDomain": "lab.example", "to": "600"}
    assert (await house.ask("POST", "/route", body)).status == 409
    await event(house, "c1", "ended")
    assert await routed(house, "c1", "1001", "lab.example", "1002") == first  # the node repeats itself
    assert len(await records(house)) == 1
    assert (await routed(house, "c1", "1001", "lab.example", "600"))["aor"] == "sip:600@lab.example"
    assert len(house.app.edge.calls) == 1


async def test_calls_of_accounts_do_not_meet(house: EdgeHouse) -> None:
    assert (await routed(house, "c1", "1001", "lab.example", "1002", THEIRS))["action"] == "reject"
    assert (await routed(house, "c2", "14155551234", "x.example", "12025550123", THEIRS))["action"] == "reject"
    told = await routed(house, "c3", "1001", "other.example", "600", THEIRS)
    assert (told["action"], told["account_id"]) == ("reject", house.account("other"))
    own = await routed(house, "c4", "1001", "other.example", "1001", THEIRS)
    assert own["aor"] == "sip:1001@other.example"
    assert (await house.ask("POST", "/route", {"callId": "x", "to": "1", "accountId": "lab"}, key=THEIRS)).status == 404


async def test_two_accounts_may_have_a_call_of_one_name(house: EdgeHouse) -> None:
    """A Call-ID is what somebody outside chose: it neither leads to another account's answer nor is in its way."""
    asked = {"callId": "same", "from": "1001", "to": "1001"}
    for account in ("lab", "other", "lab", "other"):
        told = (await house.post("/route", {**asked, "accountId": account}))["rtjson"]
        assert (told["account_id"], told["aor"]) == (house.account(account), f"sip:1001@{account}.example")
    assert len(house.app.edge.calls) == 2
    for domain in ("lab.example", "other.example"):
        assert (await routed(house, "twice", "1001", domain, "1001"))["aor"] == f"sip:1001@{domain}"
    body = {"callId": "same", "from": "1001", "to": "600", "accountId": "other"}
    assert (await house.ask("POST", "/route", body)).status == 409
    assert (
        await house.ask("POST", "/presence/event", {"type": "dialog", "callId": "same", "event": "up"})
    ).status == 400


async def test_null_is_not_given(house: EdgeHouse) -> None:
    body = {"callId": "c1", "from": "1001", "to": "1002", "fromDomain": "lab.example"}
    told = await house.post("/route", {**body, "accountId": None, "node": None})
    assert told["rtjson"]["aor"] == "sip:1002@lab.example"
    number = {"callId": "c2", "from": None, "fromDomain": None, "to": "12025550123"}
    assert (await house.post("/route", number))["rtjson"]["action"] == "flow"
    assert (await house.ask("POST", "/route", {**body, "callId": None})).status == 400
    first = await begun(house, "c2", vars=None, seq=None, outcome=None)
    assert (await stepped(house, "digit:1", call="c2", data=None, seq=None))["seq"] > first["seq"]


class Gate:
    """Lets one call in at a time."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.asked: list[tuple[str | None, str | None]] = []

    def enter(self, record: CallRecord, user: str | None, trunk: str | None, found: Route, source: str) -> None:
        self.asked.append((user, trunk))
        if self.inside:
            raise Overloaded("one is enough")
        self.inside.append(record.id)

    def reach(self, record: CallRecord, caller: str, found: Route, source: str) -> None:
        """There is a line to everybody."""

    def leave(self, record: CallRecord, now: float) -> None:
        self.inside.remove(record.id)


async def test_a_call_is_counted_once_and_given_back_once(house: EdgeHouse) -> None:
    gate = Gate()
    object.__setattr__(house.app.edge, "gate", gate)
    await routed(house, "c1", "1001", "lab.example", "1002")
    await routed(house, "c1", "1001", "lab.example", "1002")
    assert len(gate.inside) == 1
    told = await routed(house, "c2", "14155551234", "carrier.example", "12025550123")
    assert (told["action"], told["code"], told["reason"]) == ("reject", 503, "one is enough")
    assert gate.asked == [("1001", None), (None, "")]
    for _ in range(2):
        await event(house, "c1", "terminated")
    assert gate.inside == []
    assert (await routed(house, "c3", "1001", "lab.example", "1002"))["action"] == "proxy"
    edge = house.app.edge
    edge.calls.sweep(edge.now() + edge.calls.patience.setup_s + 1)
    assert gate.inside == []
    assert edge.calls.ends == {Ended.REPORTED: 1, Ended.REFUSED: 1, Ended.SILENT: 1, Ended.REPLACED: 0}


async def test_a_call_that_is_spoken_of_lasts_longer(house: EdgeHouse) -> None:
    calls, now = house.app.edge.calls, house.app.edge.now()
    await routed(house, "c1", "1001", "lab.example", "1002")
    await event(house, "c1", "answered")
    calls.sweep(now + calls.patience.setup_s + 60)
    assert len(calls) == 1
    calls.sweep(now + calls.patience.call_s + 60)
    (record,) = await records(house)
    assert (record.result, record.reason) == (Result.UNKNOWN, "nothing was heard of it any more")


async def test_too_many_calls_make_way_the_unheard_first(house: EdgeHouse) -> None:
    calls = house.app.edge.calls
    calls.patience.most = 2
    await routed(house, "heard", "1001", "lab.example", "1002")
    await event(house, "heard", "answered")
    for number in range(3):
        await routed(house, f"c{number}", "1001", "lab.example", "1002")
    assert [call.name for call in calls.live()] == ["heard", "c2"]
    assert calls.ends[Ended.REPLACED] == 2


# ---- /flow


async def begun(house: EdgeHouse, call: str = "abc123", **more: object) -> Any:
    return await house.post("/flow", {"callId": call, "accountId": "lab", "flowId": house.flow(), **more})


async def stepped(house: EdgeHouse, outcome: str, call: str = "abc123", **more: object) -> Any:
    return await house.post("/flow", {"callId": call, "outcome": outcome, "data": {}, **more})


async def test_a_flow_from_beginning_to_end(house: EdgeHouse) -> None:
    first = await begun(house)
    assert (first["command"], first["done"], first["args"]["answer"]) == ("gather", False, True)
    assert first["args"]["sounds"][0]["value"] == "Welcome. Press 1 or 2."
    dial = await stepped(house, "digit:1")
    assert (dial["command"], dial["args"]["targets"], dial["args"]["timeout_s"]) == (
        "dial",
        [{"number": "1001", "trunk": None}],
        20.0,
    )
    assert "answer" not in dial["args"]
    nobody = await stepped(house, "no_answer")
    assert (nobody["command"], nobody["args"]["sounds"][0]["value"]) == ("play", "Nobody is there.")
    record = await stepped(house, "next")
    assert record["command"] == "record"
    wait = await stepped(house, "recorded")
    assert (wait["command"], wait["args"], wait["done"]) == ("noop", {"seconds": 2.0}, False)
    assert (await stepped(house, "done"))["command"] == "play"
    last = await stepped(house, "done")
    assert (last["command"], last["done"], last["args"]["cause"]) == ("hangup", True, "normal")
    after = await stepped(house, "done")
    assert (after["command"], after["done"], after["seq"]) == ("noop", True, last["seq"])


@pytest.mark.parametrize(("outcome", "said"), [("timeout", "Goodbye."), ("digits:2", "Leave a message.")])
async def test_outcomes_lead_where_the_flow_says(house: EdgeHouse, outcome: str, said: str) -> None:
    await begun(house)
    answer = await stepped(house, outcome)
    for _ in range(3):
        if answer["args"]["sounds"][0]["value"] == said:
            break
        answer = await stepped(house, outcome)
    assert answer["args"]["sounds"][0]["value"] == said


async def test_who_steps_through_a_flow_has_answered(house: EdgeHouse) -> None:
    await routed(house, "abc123", "14155551234", "carrier.example", "12025550123")
    await begun(house)
    await stepped(house, "hangup")
    await event(house, "abc123", "ended")
    await routed(house, "abc124", "14155551234", "carrier.example", "12025550123")
    await begun(house, "abc124")
    await stepped(house, "digit:1", "abc124")
    await event(house, "abc124", "ended")
    later, first = await records(house)
    assert (first.answered_at, first.result) == (None, Result.CLIENT)
    assert (later.answered_at is not None, later.result, later.caller) == (True, Result.SUCCESS, "+14155551234")


async def test_a_caller_who_leaves_ends_the_flow(house: EdgeHouse) -> None:
    await begun(house)
    gone = await stepped(house, "hangup")
    assert (gone["command"], gone["done"]) == ("noop", True)


async def test_a_step_said_again_is_answered_as_before(house: EdgeHouse) -> None:
    first = await begun(house)
    assert await begun(house) == first
    second = await stepped(house, "digit:1", seq=first["seq"])
    assert await stepped(house, "digit:1", seq=first["seq"]) == second
    for outcome, seq in (("digit:2", first["seq"]), ("digit:1", second["seq"] + 1), ("digit:1", first["seq"] - 1)):
        body = {"callId": "abc123", "outcome": outcome, "data": {}, "seq": seq}
        assert (await house.ask("POST", "/flow", body)).status == 409
    third = await stepped(house, "busy", seq=second["seq"])
    assert third["seq"] > second["seq"]
    body = {"callId": "abc123", "outcome": "digit:1", "data": {}, "seq": first["seq"]}
    assert (await house.ask("POST", "/flow", body)).status == 409
    assert await begun(house) == third  # a node that lost its place asks where it is


async def test_two_at_once_are_one_step(house: EdgeHouse) -> None:
    first = await begun(house)
    body = {"callId": "abc123", "outcome": "digit:1", "data": {}, "seq": first["seq"]}
    answers = await asyncio.gather(*(house.post("/flow", body) for _ in range(8)))
    assert {answer["seq"] for answer in answers} == {answers[0]["seq"]}
    assert {answer["command"] for answer in answers} == {"dial"}


async def test_what_makes_no_sense_is_refused(house: EdgeHouse) -> None:
    async def asked(**body: object) -> int:
        return (await house.ask("POST", "/flow", body)).status

    assert await asked(callId="abc123", outcome="done") == 404
    assert await asked(callId="abc123") == 400
    assert await asked(callId="abc123", flowId="reception") == 400
    assert await asked(callId="abc123", flowId="reception", accountId="nowhere") == 404
    assert await asked(callId="abc123", flowId="nothing", accountId="lab") == 404
    await begun(house)
    assert await asked(callId="abc123", outcome="gugus") == 400
    assert await asked(callId="abc123", outcome="done", data="no object") == 400
    assert (await stepped(house, "digit:1"))["command"] == "dial"  # nothing of that was a step


async def test_flows_of_accounts_do_not_meet(house: EdgeHouse) -> None:
    await begun(house)
    for body in (
        {"callId": "abc123", "outcome": "digit:1"},
        {"callId": "abc123", "outcome": "digit:1", "accountId": "lab"},
        {"callId": "abc123", "accountId": "lab", "flowId": house.flow()},
        {"callId": "abc123", "accountId": "other", "flowId": house.flow()},
        {"callId": "abc123", "accountId": "other", "flowId": "nothing"},
    ):
        assert (await house.ask("POST", "/flow", body, key=THEIRS)).status == 404, body


async def test_an_account_runs_its_own_flows(house: EdgeHouse) -> None:
    body = {"callId": "c0", "accountId": "other", "flowId": "reception"}  # its number leads there, but it has none
    assert (await house.ask("POST", "/flow", body, key=THEIRS)).status == 404
    flows = house.app.telephony.dialplans.flows.of(house.account("other"))
    await flows.put("reception", FLOW.replace("Welcome.", "Hello."), "theirs")
    told = await routed(house, "c1", "14155551234", "carrier.example", "12025550188", THEIRS)
    assert (told["action"], told["account_id"], told["flow_id"]) == (
        "flow",
        house.account("other"),
        house.flow("other"),
    )
    assert told["flow_id"] != house.flow("lab")
    body = {"callId": "c1", "accountId": "other", "flowId": told["flow_id"]}
    command = await house.post("/flow", body, key=THEIRS)
    assert (command["command"], "Hello." in json.dumps(command["args"])) == ("gather", True)


async def test_as_many_flows_as_may_be(house: EdgeHouse) -> None:
    house.app.edge.flows.bounds.most = 2
    await begun(house, "a")
    await begun(house, "b")
    body = {"callId": "c", "accountId": "lab", "flowId": "reception"}
    answer = await house.ask("POST", "/flow", body)
    assert (answer.status, answer.json["error"]["code"]) == (503, "overloaded")
    await stepped(house, "hangup", "a")
    await begun(house, "c")  # what has ended makes way
    assert (await house.ask("POST", "/flow", {"callId": "a", "outcome": "done"})).status == 404


async def test_a_flow_nobody_steps_is_over(house: EdgeHouse) -> None:
    await begun(house)
    edge = house.app.edge
    edge.flows.sweep(edge.wall() + edge.flows.bounds.idle_s + 1)
    assert (await house.ask("POST", "/flow", {"callId": "abc123", "outcome": "digit:1"})).status == 404


async def test_flows_survive_a_restart(tmp_path: Path) -> None:
    async with edge_house(tmp_path) as house:
        first = await begun(house)
        second = await stepped(house, "digit:1", seq=first["seq"])
    async with edge_house(tmp_path) as house:
        assert await stepped(house, "digit:1", seq=first["seq"]) == second
        assert (await stepped(house, "no_answer", seq=second["seq"]))["command"] == "play"
        assert (await stepped(house, "done"))["command"] == "record"


async def test_a_damaged_session_is_let_go(tmp_path: Path) -> None:
    async with edge_house(tmp_path) as house:
        await begun(house)
        await house.app.store.drain()
        await house.app.store.commit([(update(edge_sessions).values(state="{}"), {})])
    async with edge_house(tmp_path) as house:
        assert (await house.ask("POST", "/flow", {"callId": "abc123", "outcome": "digit:1"})).status == 404
        assert (await begun(house))["command"] == "gather"


async def test_a_flow_that_was_changed_ends_its_call(tmp_path: Path) -> None:
    async with edge_house(tmp_path) as house:
        await begun(house)
    async with edge_house(tmp_path, FLOW.replace("Welcome", "Hello")) as house:
        last = await stepped(house, "digit:1")
        assert (last["command"], last["done"], last["args"]["cause"]) == ("hangup", True, "error")
        errors = (await house.ask("GET", "/calls/abc123/trace")).json["errors"]
        assert "the flow was changed meanwhile" in errors[0]


# ---- /presence/event


async def test_registrations_of_nodes(house: EdgeHouse) -> None:
    said = {"type": "register", "domain": "lab.example", "user": "1001", "contact": "sip:1001@192.0.2.5", "node": "n1"}
    first = await house.post("/presence/event", said)
    assert (first["ok"], first["changed"], first["user"], first["reachable"]) == (True, True, "1001", True)
    assert (await house.post("/presence/event", said))["changed"] is False
    roster = (await house.ask("GET", "/presence/registrations?accountId=lab")).json
    (user,) = roster["users"]
    assert (user["user"], user["reachable"], user["contacts"][0]["node"]) == ("1001", True, "n1")
    gone = await house.post("/presence/event", said | {"event": "unregistered"})
    assert (gone["changed"], gone["reachable"]) == (True, False)
    await house.post("/presence/event", said | {"expires": 60})
    house.app.edge.reach.sweep(house.app.edge.now() + 61)
    assert (await house.ask("GET", "/presence/registrations?accountId=lab")).json["users"] == []
    assert len(house.app.edge.reach) == 0


async def test_a_user_is_named_as_the_node_was_told(house: EdgeHouse) -> None:
    """By the id that /auth gave, too; that of another account's user is nobody's."""
    proven = await house.post("/auth", digest())
    for name in (proven["user_id"], "sip:1001@lab.example", "1001"):
        said = await house.post("/presence/event", {"type": "register", "accountId": "lab", "userId": name})
        assert (said["user"], said["reachable"]) == ("1001", True)
    body = {"type": "register", "accountId": "other", "userId": proven["user_id"]}
    assert (await house.ask("POST", "/presence/event", body)).status == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "register"}, 400),
        ({"type": "register", "user": "9999"}, 404),
        ({"type": "register", "user": "1001", "expires": -1}, 400),
        ({"type": "dialog", "state": "ended"}, 400),
        ({"type": "dialog", "callId": "c1"}, 400),
        ({"type": "dialog", "callId": "c1", "state": "dancing"}, 400),
        ({"type": "dialog", "callId": "c1", "state": "ended", "code": 42}, 400),
        ({"type": "weather"}, 400),
        ({"callId": "c1"}, 400),
        ({"type": "register", "user": "1001", "accountId": "nowhere"}, 404),
    ],
)
async def test_an_event_that_says_nothing_is_refused(house: EdgeHouse, body: object, status: int) -> None:
    assert (await house.ask("POST", "/presence/event", body)).status == status


async def test_a_dialog_becomes_a_record(house: EdgeHouse) -> None:
    await routed(house, "c1", "1001", "lab.example", "1002")
    for state, changed in (("trying", False), ("early", True), ("ringing", False), ("confirmed", True)):
        assert (await event(house, "c1", state))["changed"] is changed, state
    (user, other) = (await house.ask("GET", "/presence/registrations?accountId=lab")).json["users"]
    assert [(one["user"], one["calls"]) for one in (user, other)] == [("1001", 1), ("1002", 1)]
    assert (await event(house, "c1", "terminated", by="uac", reason="they said goodbye"))["changed"] is True
    assert (await event(house, "c1", "terminated"))["changed"] is False
    (record,) = await records(house)
    assert (record.caller, record.called, record.result, record.sip_status) == ("1001", "1002", Result.SUCCESS, 200)
    assert (record.ended_by, record.reason) == ("caller", "they said goodbye")
    assert record.ringing_at is not None
    assert record.answered_at is not None
    assert record.legs[0].sip_call_id == "c1"


async def test_the_house_sees_calls_of_nodes(house: EdgeHouse) -> None:
    await routed(house, "c1", "1001", "lab.example", "1002")
    (call,) = (await house.ask("GET", "/house/v1/calls", headers={"X-API-Key": ADMIN})).json["calls"]
    assert (call["caller"], call["called"], call["state"]) == ("1001", "1002", "setup")
    path = f"/house/v1/calls/{call['id']}"
    assert (await house.ask("GET", path, headers={"X-API-Key": ADMIN})).status == 200
    assert (await house.ask("POST", path + "/hangup", headers={"X-API-Key": ADMIN})).status == 404
    await event(house, "c1", "ended")
    assert (await house.ask("GET", "/house/v1/calls", headers={"X-API-Key": ADMIN})).json["calls"] == []


async def test_a_call_nobody_asked_about_has_a_record_too(house: EdgeHouse) -> None:
    said = await event(house, "c9", "ringing", domain="other.example", **{"from": "1001", "to": "555"})
    assert said["account_id"] == house.account("other")
    await event(house, "c9", "failed", code=486)
    (record,) = await records(house)
    assert (record.account_id, record.called, record.result, record.sip_status) == (
        house.account("other"),
        "555",
        Result.UPSTREAM,
        486,
    )


async def test_events_of_accounts_do_not_meet(house: EdgeHouse) -> None:
    await routed(house, "c1", "1001", "lab.example", "1002")
    body = {"type": "dialog", "callId": "c1", "state": "ended", "accountId": "lab"}
    assert (await house.ask("POST", "/presence/event", body, key=THEIRS)).status == 404
    await house.post("/presence/event", {"type": "dialog", "callId": "c1", "state": "ended"}, key=THEIRS)
    assert [call.name for call in house.app.edge.calls.live()] == ["c1"]  # theirs was another of the same name
    assert (await house.ask("GET", "/presence/registrations?accountId=lab", key=THEIRS)).status == 404
    body = {"type": "register", "user": "1002", "domain": "lab.example"}
    assert (await house.ask("POST", "/presence/event", body, key=THEIRS)).status == 404


# ---- traces


async def test_a_trace_tells_the_whole_call(house: EdgeHouse) -> None:
    await routed(house, "abc123", "14155551234", "carrier.example", "12025550123")
    await begun(house)
    await stepped(house, "digit:1")
    await stepped(house, "failed", data={"reason": "no line"})
    await event(house, "abc123", "confirmed", message="SIP/2.0 200 OK", media={"mos": 4.2, "codec": "PCMU"})
    up = (await house.ask("GET", "/calls/abc123/trace")).json
    assert (up["complete"], up["flow"], up["direction"]) == (False, "reception/person.2", "inbound")
    await event(house, "abc123", "ended", code=500, reason="the node fell over")
    for key in (ADMIN, None):
        name = "abc123" if key else up["callId"]
        trace = (await house.ask("GET", f"/calls/{name}/trace")).json
        assert (trace["callId"], trace["names"], trace["complete"]) == (up["callId"], ["abc123"], True)
    assert [step["seq"] for step in trace["steps"]] == list(range(len(trace["steps"])))
    commands = [(step["step"], step["command"]) for step in trace["steps"] if step["kind"] == "command"]
    assert commands[:2] == [("reception/welcome.1", "tag"), ("reception/welcome.2", "answer")]
    assert ("reception/person.1", "dial") in commands
    assert "digit:1" in [step["outcome"] for step in trace["steps"]]
    assert {"sip: SIP/2.0 200 OK", "answered"} <= {step["text"] for step in trace["steps"] if step["kind"] == "state"}
    assert [step["text"] for step in trace["steps"] if step["kind"] == "media"] == ["sound: mos 4.2, codec PCMU"]
    assert "no line" in trace["errors"][0]
    assert trace["errors"][-1] == "500: the node fell over"
    assert any("12025550123" in step["text"] for step in trace["steps"] if step["kind"] == "decision")
    assert len(trace["ladder"]) >= len(trace["steps"])
    assert trace["media"][0]["sip_call_id"] == "abc123"


async def test_what_a_caller_types_is_not_in_the_trace(house: EdgeHouse) -> None:
    await begun(house)
    await stepped(house, "digits:4711")
    text = (await house.ask("GET", "/calls/abc123/trace")).body.decode()
    assert "4711" not in text
    assert "digits:****" in text


async def test_traces_are_found_when_they_are_stored(house: EdgeHouse) -> None:
    await begun(house)
    await event(house, "abc123", "ended")
    app = house.app
    app.traces.beat(app.telephony.now() + 60)
    await app.traces.stop(app.telephony.now() + 61)
    app.edge.calls.sweep(app.edge.now() + 3600)
    assert app.telephony.trace.find(f"edge {house.account('lab')} abc123") is None
    assert app.edge.calls.find([house.account("lab")], "abc123") == []
    for name in ("abc123", (await records(house))[0].id):
        trace = (await house.ask("GET", f"/calls/{name}/trace")).json
        assert (trace["complete"], trace["names"], trace["caller"]) == (True, ["abc123"], "")
        assert (await house.ask("GET", f"/calls/{name}/trace", key=THEIRS)).status == 404


async def test_calls_of_the_house_are_traced_with_sip_and_sound(house: EdgeHouse) -> None:
    async with calling(house.app.telephony.transports.bound[Transport.UDP][0]) as caller:
        (call,) = house.app.telephony.switch.calls
        house.app.telephony.hangup(call)
        caller.agree(await caller.hear("BYE"))
    await house.app.store.drain()
    for name in ("by-hand", call):
        trace = (await house.ask("GET", f"/calls/{name}/trace")).json
        assert (trace["callId"], trace["names"], trace["called"], trace["complete"]) == (call, ["by-hand"], "600", True)
        sip = [step["text"] for step in trace["steps"] if step["kind"] == "sip"]
        assert sip[0] == "INVITE 600 +SDP"
        assert "200 OK (INVITE) +SDP" in sip
        assert "INVITE 600" in "\n".join(trace["ladder"])
        assert {"decision", "state", "media", "sip"} <= {step["kind"] for step in trace["steps"]}
        assert (trace["media"][0]["codec"], trace["media"][0]["quality"]["packets_received"]) == ("PCMU", 0)
        assert (await house.ask("GET", f"/calls/{name}/trace", key=THEIRS)).status == 404


async def test_traces_of_accounts_do_not_meet(house: EdgeHouse) -> None:
    await begun(house)
    call = (await house.ask("GET", "/calls/abc123/trace")).json["callId"]
    for name in ("abc123", call, f"edge {house.account('lab')} abc123"):
        assert (await house.ask("GET", f"/calls/{name}/trace", key=THEIRS)).status == 404
        assert (await house.ask("GET", f"/calls/{name}/trace?accountId=other")).status == 404
    assert (await house.ask("GET", "/calls/abc123/trace?accountId=lab")).status == 200
    assert (await house.ask("GET", "/calls/nothing/trace")).status == 404
