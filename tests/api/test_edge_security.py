"""`/security`: bans, those of nodes too, and who is never banned."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pbxd.app import App
from pbxd.directory.reports import MAX_BANS
from pbxd.sip.flow import Transport
from tests.api.client import Client
from tests.api.edge_house import house, refused, told
from tests.clients.block import Block


@pytest.fixture
async def up(tmp_path: Path, block: Block) -> AsyncIterator[tuple[App, Client]]:
    async with house(tmp_path, block) as (app, client):
        yield app, client


def ban(app: App, address: str, *, reason: str = "guessed passwords", seconds: float | None = 600.0) -> None:
    app.telephony.entrance.ban(address, seconds, reason, "test", app.telephony.now())


async def addresses(client: Client, query: str = "") -> list[str]:
    said = await told(client, "GET", f"/security/bans{query}")
    assert set(said) == {"bans", "total"}
    return [one["ip"] for one in said["bans"]]


async def test_a_ban_says_all_that_is_known_of_it(up: tuple[App, Client]) -> None:
    app, client = up
    ban(app, "203.0.113.7")
    (found,) = (await told(client, "GET", "/security/bans"))["bans"]
    wall = app.telephony.wall(app.telephony.now())
    assert found.pop("since") == pytest.approx(wall, abs=5)
    assert found.pop("until") == pytest.approx(wall + 600, abs=5)
    assert found == {
        "ip": "203.0.113.7",
        "status": "active",
        "reason": "guessed passwords",
        "evidence": "",
        "flagged": False,
        "hits": 0,
        "node": "here",
    }


async def test_bans_are_found_by_what_is_asked(up: tuple[App, Client]) -> None:
    app, client = up
    for address in ("203.0.113.7", "203.0.113.8", "2001:db8::1", "192.0.2.0/24"):
        ban(app, address)
    ban(app, "203.0.113.9", reason="scans numbers", seconds=None)
    app.telephony.entrance.lift("203.0.113.8", "test", app.telephony.now())
    everyone = {"203.0.113.7", "203.0.113.9", "2001:db8::1", "192.0.2.0/24"}
    assert set(await addresses(client)) == everyone
    assert set(await addresses(client, "?status=active")) == everyone
    assert await addresses(client, "?status=lifted") == ["203.0.113.8"]
    assert await addresses(client, "?status=expired") == []
    assert len(await addresses(client, "?status=all")) == 5
    assert await addresses(client, "?q=SCANS") == ["203.0.113.9"]
    assert await addresses(client, "?q=192.0.2.77") == ["192.0.2.0/24"]
    assert await addresses(client, "?q=2001:db8::1") == ["2001:db8::1"]
    assert set(await addresses(client, "?q=203.0.113")) == {"203.0.113.7", "203.0.113.9"}
    assert await addresses(client, "?q=nothing") == []
    limited = await told(client, "GET", "/security/bans?limit=2")
    assert (len(limited["bans"]), limited["total"]) == (2, 4)
    assert await addresses(client, "?flagged=true") == []
    for _ in range(2):  # the third time
        app.telephony.entrance.bans.expire(app.telephony.now() + 1e6, app.telephony.wall(app.telephony.now()))
        ban(app, "203.0.113.7")
    assert await addresses(client, "?flagged=1") == ["203.0.113.7"]
    assert "203.0.113.7" not in await addresses(client, "?flagged=false")


REPORT = {
    "node": "edge-1",
    "bans": [
        {
            "ip": "203.0.113.20",
            "reason": "REGISTER flood",
            "evidence": "9000 in 10 s",
            "flagged": True,
            "since": 1790000000,
            "until": "2100-01-01T00:00:00Z",
            "hits": 12,
        },
        "203.0.113.21",
        {"ip": "203.0.113.22", "until": 1790000000},
    ],
}


@pytest.mark.parametrize("form", [False, True])
async def test_a_node_reports_and_its_bans_are_seen_with_its_name(up: tuple[App, Client], form: bool) -> None:
    app, client = up
    body = {"node": "edge-1", "bans": json.dumps(REPORT["bans"])} if form else REPORT
    answer = await told(client, "POST", "/security/report", body, form=form)
    assert answer == {
        "ok": True,
        "node": "edge-1",
        "accepted": 3,
        "enforced": ["203.0.113.20", "203.0.113.21"],
        "spared": [],
        "released": [],
        "allow": ["198.51.100.0/24"],
    }
    found = {one["ip"]: one for one in (await told(client, "GET", "/security/bans?status=all"))["bans"]}
    assert found["203.0.113.20"] == {
        "ip": "203.0.113.20",
        "status": "active",
        "reason": "REGISTER flood",
        "evidence": "9000 in 10 s",
        "flagged": True,
        "since": 1790000000,
        "until": 4102444800,
        "hits": 12,
        "node": "edge-1",
    }
    assert found["203.0.113.21"]["status"] == "active"
    assert found["203.0.113.22"]["status"] == "expired"
    assert await addresses(client, "?flagged=true") == ["203.0.113.20"]
    bans = app.telephony.entrance.bans
    assert (bans.holds("203.0.113.20"), bans.holds("203.0.113.21"), bans.holds("203.0.113.22")) == (True, True, False)
    await told(client, "POST", "/security/report", {"node": "edge-1", "bans": []})
    assert await addresses(client) == []
    assert not bans.active


async def test_what_a_node_reports_wire_drops_until_it_is_released(up: tuple[App, Client]) -> None:
    app, client = up
    host, port = app.telephony.transports.bound[Transport.UDP][0]
    door = app.telephony.entrance
    report = {"node": "edge-1", "bans": [{"ip": "127.0.0.77", "reason": "scans"}]}
    ping = options("127.0.0.77")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.77", 0))
        phone.settimeout(5)
        phone.sendto(ping, (host, port))
        assert (await asyncio.to_thread(phone.recv, 4096)).startswith(b"SIP/2.0 200")
        assert (await told(client, "POST", "/security/report", report))["enforced"] == ["127.0.0.77"]
        phone.sendto(ping, (host, port))
        async with asyncio.timeout(5):
            while not (found := (await told(client, "GET", "/security/bans"))["bans"][0])["hits"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (found["ip"], found["status"], found["reason"], found["node"]) == (
            "127.0.0.77", "active", "scans", "edge-1",
        )  # fmt: skip
        door.lift("127.0.0.77", "somebody", app.telephony.now())
        assert (await told(client, "POST", "/security/report", report))["released"] == ["127.0.0.77"]
        assert await addresses(client) == []
        assert await addresses(client, "?status=lifted") == ["127.0.0.77"]
        phone.sendto(ping, (host, port))
        assert (await asyncio.to_thread(phone.recv, 4096)).startswith(b"SIP/2.0 200")


def options(source: str) -> bytes:
    return (
        f"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{time.monotonic_ns()};rport\r\n"
        f"From: <sip:x@{source}>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: {source}\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


async def test_who_is_allowed_and_a_trunk_is_spared(up: tuple[App, Client]) -> None:
    app, client = up
    bans = ["198.51.100.7", "127.0.0.1", "10.0.0.0/8", "203.0.113.40"]
    answer = await told(client, "POST", "/security/report", {"node": "edge-1", "bans": bans})
    assert answer["enforced"] == ["203.0.113.40"]
    assert answer["spared"] == [
        {"ip": "198.51.100.7", "why": "it is on the allow list"},
        {"ip": "127.0.0.1", "why": "it is a trunk's"},
        {"ip": "10.0.0.0/8", "why": "too wide for a node's word: an administrator may ban it"},
    ]
    assert await addresses(client) == ["203.0.113.40"]
    assert list(map(str, app.telephony.entrance.bans.active)) == ["203.0.113.40/32"]


async def test_a_node_without_a_name_is_its_key(up: tuple[App, Client]) -> None:
    app, client = up
    assert (await told(client, "POST", "/security/report", {"bans": ["203.0.113.30"]}))["node"] == "node"
    (found,) = (await told(client, "GET", "/security/bans"))["bans"]
    assert found["node"] == "node"
    assert found["since"] == pytest.approx(app.telephony.wall(app.telephony.now()), abs=5)
    assert found["until"] - found["since"] == 600  # it named no end: the house's own terms


# ---- the allow list


@pytest.mark.parametrize("form", [False, True])
async def test_to_allow_is_to_unban(up: tuple[App, Client], form: bool) -> None:
    app, client = up
    for address in ("203.0.113.7", "203.0.113.8", "192.0.2.1"):
        ban(app, address)
    await told(client, "POST", "/security/report", {"node": "edge-1", "bans": ["203.0.113.9"]})
    said = await told(client, "POST", "/security/allow", {"ip": "203.0.113.0/24", "note": "the office"}, form=form)
    assert said.pop("since") == pytest.approx(app.telephony.wall(app.telephony.now()), abs=5)
    assert said == {"ip": "203.0.113.0/24", "note": "the office", "by": "node", "ok": True, "unbanned": 3}
    assert await addresses(client) == ["192.0.2.1"]
    listed = (await told(client, "GET", "/security/allow"))["allow"]
    assert [(one["ip"], one["by"]) for one in listed] == [
        ("198.51.100.0/24", "configuration"),
        ("203.0.113.0/24", "node"),
    ]
    again = await told(client, "POST", "/security/allow", {"ip": "203.0.113.0/24"})
    assert (again["note"], again["unbanned"]) == ("the office", 0)
    gone = await client.ask("DELETE", "/security/allow/203.0.113.0%2F24", key="node-secret")
    assert (gone.status, gone.json["ip"]) == (200, "203.0.113.0/24")
    assert [one["ip"] for one in (await told(client, "GET", "/security/allow"))["allow"]] == ["198.51.100.0/24"]


async def test_one_address_comes_and_goes(up: tuple[App, Client]) -> None:
    _, client = up
    for address in ("203.0.113.7", "2001:db8::7", "203.0.113.0/24"):  # a slash, too, as it is written
        await told(client, "POST", "/security/allow", {"address": address})
        assert (await client.ask("DELETE", f"/security/allow/{address}", key="node-secret")).status == 200
        answer = await client.ask("DELETE", f"/security/allow/{address}", key="node-secret")
        assert refused(answer) == (404, "not_found")


async def test_an_empty_filter_filters_nothing(up: tuple[App, Client]) -> None:
    app, client = up
    ban(app, "203.0.113.7")
    said = await told(client, "GET", "/security/bans?status=&q=&flagged=&limit=")
    assert [one["ip"] for one in said["bans"]] == ["203.0.113.7"]


BAD: list[tuple[str, str, Any, int]] = [
    ("GET", "/security/bans?status=asleep", None, 400),
    ("GET", "/security/bans?limit=0", None, 400),
    ("GET", "/security/bans?limit=many", None, 400),
    ("GET", "/security/bans?flagged=perhaps", None, 400),
    ("GET", "/security/bans?q=" + "x" * 300, None, 400),
    ("POST", "/security/allow", {}, 400),
    ("POST", "/security/allow", {"ip": "nowhere"}, 400),
    ("POST", "/security/allow", {"ip": "203.0.113.300"}, 400),
    ("POST", "/security/allow", {"ip": "::ffff:203.0.113.0/120"}, 400),
    ("POST", "/security/allow", {"ip": "203.0.113.7", "note": "line\nbreak"}, 400),
    ("POST", "/security/allow", ["203.0.113.7"], 400),
    ("DELETE", "/security/allow/nowhere", None, 400),
    ("DELETE", "/security/allow/203.0.113.200", None, 404),
    ("DELETE", "/security/allow/198.51.100.0%2F24", None, 409),
    ("POST", "/security/report", {}, 400),
    ("POST", "/security/report", {"node": "edge-1"}, 400),
    ("POST", "/security/report", {"node": "edge-1", "bans": "203.0.113.1"}, 400),
    ("POST", "/security/report", {"node": "edge-1", "bans": ["203.0.113.1", "nowhere"]}, 400),
    ("POST", "/security/report", {"node": "edge-1", "bans": [{"reason": "no address"}]}, 400),
    ("POST", "/security/report", {"node": "edge-1", "bans": [{"ip": "203.0.113.1", "hits": -1}]}, 400),
    ("POST", "/security/report", {"node": "edge-1", "bans": [{"ip": "203.0.113.1", "since": "yesterday"}]}, 400),
    ("POST", "/security/report", {"node": "x" * 300, "bans": []}, 400),
    ("POST", "/security/report", {"bans": ["203.0.113.1"] * (MAX_BANS + 1)}, 400),
    ("GET", "/security/nothing", None, 404),
    ("PUT", "/security/allow", {"ip": "203.0.113.7"}, 405),
]


async def test_bad_input(up: tuple[App, Client]) -> None:
    _, client = up
    for method, path, body, error in BAD:
        answer = await client.ask(method, path, key="node-secret", json=body)
        assert refused(answer)[0] == error, (method, path, body, answer.body)


OPERATIONS: list[tuple[str, str, Any]] = [
    ("GET", "/security/bans", None),
    ("GET", "/security/allow", None),
    ("POST", "/security/allow", {"ip": "203.0.113.7"}),
    ("DELETE", "/security/allow/203.0.113.7", None),
    ("POST", "/security/report", {"bans": []}),
]


async def test_who_may_not(up: tuple[App, Client]) -> None:
    app, client = up
    for method, path, body in OPERATIONS:
        for key, status in ((None, 401), ("wrong", 403), ("reader-secret", 403), ("other-secret", 403)):
            assert refused(await client.ask(method, path, key=key, json=body))[0] == status, (method, path, key)
    assert (await client.ask("GET", "/security/bans", headers={"x-admin-token": "lab-admin"})).status == 200
    assert len(app.telephony.entrance.allowlist.entries) == 1
