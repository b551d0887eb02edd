"""`/cac`: what an account uses of what it may use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pbxd.app import App
from pbxd.calls.gate import Barred
from pbxd.calls.limits import Claims, Ticket
from pbxd.calls.record import CallRecord, Direction
from pbxd.calls.routing import ToTrunk
from pbxd.directory.fraud import Outward
from pbxd.sip.flow import Transport
from tests.api.client import Client
from tests.api.edge_house import house, refused, told
from tests.clients.block import Block
from tests.clients.hand import calling

Counter = tuple[str, str, str, int, int | None]


@pytest.fixture
async def up(tmp_path: Path, block: Block) -> AsyncIterator[tuple[App, Client]]:
    async with house(tmp_path, block) as (app, client):
        yield app, client


def counters(answer: Any) -> set[Counter]:
    return {(one["scope"], one["id"], one["direction"], one["current"], one["limit"]) for one in answer["counters"]}


async def test_a_call_is_seen_and_gone(up: tuple[App, Client]) -> None:
    app, client = up
    account = app.directory.default_account.id
    nothing = {
        ("account", account, "any", 0, 2),
        ("account", account, "inbound", 0, 3),
        ("trunk", "out", "any", 0, 1),
        ("user", "1002", "any", 0, 1),
        ("number", "12025550123", "any", 0, 1),
    }
    said = await told(client, "GET", "/cac?accountId=lab")
    assert set(said) == {"accountId", "counters", "calls"}
    assert (said["accountId"], said["calls"], counters(said)) == (account, [], nothing)
    async with calling(app.telephony.transports.bound[Transport.UDP][0]):
        said = await told(client, "GET", f"/cac?accountId={account}")
        assert counters(said) == {
            ("account", account, "any", 1, 2),
            ("account", account, "inbound", 1, 3),
            ("trunk", "out", "any", 0, 1),
            ("trunk", "peer", "any", 1, None),
            ("user", "1002", "any", 0, 1),
            ("number", "12025550123", "any", 0, 1),
        }
        (call,) = said["calls"]
        (call_id,) = app.telephony.switch.calls
        assert call.pop("since") == pytest.approx(app.telephony.wall(app.telephony.now()), abs=5)
        assert call == {
            "callId": call_id,
            "direction": "inbound",
            "from": "peer",
            "to": "600",
            "answered": True,
            "counted": ["account", "trunk peer"],
        }
        reset = await told(client, "POST", "/cac/reset", {"accountId": "lab"})
        assert (reset["released"], len(reset["calls"])) == (0, 1)  # what is up goes on being counted
        assert ("account", account, "any", 1, 2) in counters(reset)
        assert app.telephony.hangup(call_id)
        assert counters(await told(client, "GET", "/cac?accountId=lab")) == nothing


async def test_reset_gives_back_what_is_stuck(up: tuple[App, Client]) -> None:
    app, client = up
    account, limits = app.directory.default_account.id, app.telephony.switch.gate.limits
    stuck = Claims("call_gone", account, Direction.OUTBOUND, users=("1001",), trunks=("out",))
    assert isinstance(limits.admit(stuck, 0.0), Ticket)
    before = await told(client, "GET", f"/cac?accountId={account}")
    assert {("user", "1001", "any", 1, 4), ("trunk", "out", "any", 1, 1)} <= counters(before)
    for form in (False, True):
        after = await told(client, "POST", "/cac/reset", {"accountId": "lab"}, form=form)
        assert after["released"] == (0 if form else 1)
        assert {one["current"] for one in after["counters"]} == {0}
    assert len(limits) == 0


async def test_what_a_limit_says_goes_with_its_counter(up: tuple[App, Client]) -> None:
    _, client = up
    said = await told(client, "GET", "/cac?accountId=lab")
    hourly = next(one for one in said["counters"] if one["name"] == "hourly")
    assert (hourly["periodS"], hourly["hard"], hourly["limit"]) == (3600, True, 3)
    assert next(one["name"] for one in said["counters"] if one["scope"] == "trunk") == "max_calls"


BAD: list[tuple[str, str, Any, str | None, tuple[int, str]]] = [
    ("GET", "/cac?accountId=lab", None, None, (401, "unauthorized")),
    ("GET", "/cac?accountId=lab", None, "wrong", (403, "forbidden")),
    ("GET", "/cac?accountId=lab", None, "reader-secret", (403, "forbidden")),
    ("GET", "/cac", None, "node-secret", (400, "bad_request")),
    ("GET", "/cac?accountId=", None, "node-secret", (400, "bad_request")),
    ("GET", "/cac?accountId=nobody", None, "node-secret", (404, "not_found")),
    ("GET", "/cac?accountId=lab", None, "other-secret", (404, "not_found")),
    ("POST", "/cac/reset", {"accountId": "lab"}, None, (401, "unauthorized")),
    ("POST", "/cac/reset", {"accountId": "lab"}, "wrong", (403, "forbidden")),
    ("POST", "/cac/reset", {}, "node-secret", (400, "bad_request")),
    ("POST", "/cac/reset", [], "node-secret", (400, "bad_request")),
    ("POST", "/cac/reset", {"accountId": "nobody"}, "node-secret", (404, "not_found")),
    ("POST", "/cac/reset", {"accountId": "lab"}, "other-secret", (404, "not_found")),
    ("GET", "/cac/nowhere", None, "node-secret", (404, "not_found")),
    ("GET", "/cac/reset", None, "node-secret", (405, "method_not_allowed")),
]


async def test_bad_input(up: tuple[App, Client]) -> None:
    _, client = up
    for method, path, body, key, error in BAD:
        assert refused(await client.ask(method, path, key=key, json=body)) == error, (method, path, body, key)


async def test_an_account_sees_its_own_and_clears_its_own(up: tuple[App, Client]) -> None:
    app, client = up
    limits = app.telephony.switch.gate.limits
    lab, other = (app.directory.account_named(name) for name in ("lab", "other"))
    assert lab is not None
    assert other is not None
    for account in (lab, other):
        limits.admit(Claims("call_x", account.id, Direction.INTERNAL, users=("1001",)), 0.0)
    answer = await client.ask("POST", "/cac/reset", key="other-secret", json={"accountId": "other"})
    assert answer.json["released"] == 1
    assert [ticket.claims.account_id for ticket in limits.tickets(lab.id)] == [lab.id]


async def routed(client: Client, call: str, to: str, caller: str = "1001") -> tuple[str, int | None]:
    wish = {"callId": call, "from": caller, "fromDomain": "127.0.0.1", "to": to}
    said = (await told(client, "POST", "/route", wish))["rtjson"]
    return said["action"], said.get("code")


async def test_what_a_node_routes_is_counted_until_the_node_says_that_it_is_over(up: tuple[App, Client]) -> None:
    app, client = up
    limits = app.telephony.switch.gate.limits
    assert await routed(client, "a", "004420794600") == ("outbound", None)
    assert await routed(client, "a", "004420794600") == ("outbound", None)  # asked again
    said = await told(client, "GET", "/cac?accountId=lab")
    assert ("trunk", "out", "any", 1, 1) in counters(said)
    assert [call["counted"] for call in said["calls"]] == [["account", "user 1001", "trunk out"]]
    assert await routed(client, "b", "004420794601") == ("reject", 503)
    assert len(limits) == 1
    for _ in range(2):
        await told(client, "POST", "/presence/event", {"type": "dialog", "event": "ended", "callId": "a"})
    assert len(limits) == 0
    assert await routed(client, "c", "004420794601") == ("outbound", None)
    await told(client, "POST", "/presence/event", {"type": "dialog", "event": "ended", "callId": "c"})
    assert await routed(client, "d", "1002") == ("proxy", None)
    assert await routed(client, "e", "1002") == ("reject", 486)  # one call at a time
    app.telephony.switch.gate.look(app.telephony.now() + 3600)
    assert limits.leaks == 0  # it is up, at a node
    reset = await told(client, "POST", "/cac/reset", {"accountId": "lab"})
    assert (reset["released"], len(reset["calls"])) == (0, 1)
    await told(client, "POST", "/presence/event", {"type": "dialog", "event": "ended", "callId": "d"})
    assert len(limits) == 0


async def test_a_number_has_its_channels(up: tuple[App, Client]) -> None:
    app, client = up
    limits = app.telephony.switch.gate.limits
    for call, answer in (("a", ("proxy", None)), ("b", ("reject", 486))):
        wish = {"callId": call, "from": "14155551234", "fromDomain": "carrier.example", "to": "12025550123"}
        said = (await told(client, "POST", "/route", wish))["rtjson"]
        assert (said["action"], said.get("code")) == answer
    assert len(limits) == 1
    assert ("number", "12025550123", "any", 1, 1) in counters(await told(client, "GET", "/cac?accountId=lab"))
    await told(client, "POST", "/presence/event", {"type": "dialog", "event": "ended", "callId": "a"})
    assert len(limits) == 0


async def test_a_trunk_has_the_room_that_the_file_says(up: tuple[App, Client]) -> None:
    app, _ = up
    gate, account = app.telephony.switch.gate, app.directory.default_account
    trunk = app.directory.trunk(account, "out")
    assert trunk is not None
    first, second = (
        CallRecord(f"call_{n}", account.id, Direction.OUTBOUND, "1001", "", "004420794600", 0.0) for n in (1, 2)
    )
    gate.enter(first, "1001", None, ToTrunk(trunk, "004420794600"), "test")
    gate.enter(first, "1001", None, ToTrunk(trunk, "004420794600"), "test")  # asked again
    with pytest.raises(Barred, match="limit_trunk: the trunk out has 1 of 1 calls"):
        gate.enter(second, "1002", None, ToTrunk(trunk, "004420794600"), "test")
    gate.leave(first, app.telephony.now())
    gate.enter(second, "1002", None, ToTrunk(trunk, "004420794600"), "test")
    gate.leave(second, app.telephony.now())
    assert len(gate.limits) == 0


async def test_the_watch_for_fraud_hears_how_long_calls_of_nodes_lasted(up: tuple[App, Client]) -> None:
    """Else each were a short call, to a country that nobody ever talked to."""
    app, client = up
    gate, edge = app.telephony.switch.gate, app.edge
    heard: list[float] = []

    class Listening:
        def attempt(self, outward: Outward, wall: float) -> str | None:
            return None

        def ended(self, key: str, talked_s: float, wall: float) -> None:
            heard.append(talked_s)

    gate.watchman = Listening()
    for call, seconds in (("a", 90.0), ("b", None)):
        await routed(client, call, "004420794600")
        (remote,) = edge.calls.live()
        later = edge.now()
        if seconds is not None:
            edge.calls.answered(remote, later)
            later += seconds
        edge.calls.end(remote, later)
    assert heard == [pytest.approx(90.0), 0.0]
    assert len(gate.limits) == 0


async def test_a_night_on_the_phone_is_stopped_in_a_whole_house(
    up: tuple[App, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, client = up
    gate, account = app.telephony.switch.gate, app.directory.default_account
    trunk = app.directory.trunk(account, "out")
    assert trunk is not None
    monkeypatch.setattr(gate.facilities, "wall", lambda _now: 1_772_416_800.0)  # Monday, 3 in the morning in Berlin
    stopped: list[tuple[int, str]] = []
    for number in range(20):
        called = f"0037122{number:06d}"
        record = CallRecord(f"call_{number}", account.id, Direction.OUTBOUND, "1001", "", called, 0.0)
        try:
            gate.enter(record, "1001", None, ToTrunk(trunk, called), "test")
        except Barred as error:
            stopped.append((error.sip_status, error.why.value))
        gate.leave(record, app.telephony.now())
    assert stopped == [(403, "toll_fraud")] * 17
    blocks = (await client.get("/house/v1/security/fraud", key="lab-admin")).json["blocks"]
    assert [(block["caller"], block["pattern"], block["refused"]) for block in blocks] == [("1001", "night", 17)]
    metrics = (await client.get("/metrics")).body.decode()
    assert 'pbxd_fraud_blocks_total{pattern="night"} 1.0' in metrics
    assert 'pbxd_calls_refused_total{reason="toll_fraud"} 17.0' in metrics
    assert "pbxd_cac_leaks_total 0.0" in metrics
    path = f"/house/v1/security/fraud/{blocks[0]['id']}"
    assert refused(await client.ask("DELETE", path, key="reader-secret")) == (403, "forbidden")
    assert refused(await client.ask("DELETE", path + "x", key="lab-admin")) == (404, "not_found")
    lifted = await client.ask("DELETE", path, key="lab-admin")
    assert (lifted.status, lifted.json["ended_by"]) == (200, "lab-admin")
    assert refused(await client.ask("DELETE", path, key="lab-admin")) == (404, "not_found")
    ended = (await client.get("/house/v1/security/fraud?state=ended", key="lab-admin")).json["blocks"]
    assert [block["id"] for block in ended] == [blocks[0]["id"]]
    assert (await client.get("/house/v1/security/fraud", key="lab-admin")).json == {"blocks": []}
