"""Bans and the allow list over the house's API and command line, on a real door and a real store."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from media.wire import Wire
from pbxd import banning
from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.house import HOUSE, House
from pbxd.api.server import Server
from pbxd.api.surface import Surface
from pbxd.cli import Exit, act, build_parser
from pbxd.config import load
from pbxd.directory.accounts import Directory
from pbxd.store import Store
from tests.api.client import Client, serving
from tests.directory.conftest import TEXT
from tests.directory.door import WALL, Door

KEYS = {
    "admin-key": Identity("admin", "acc_1", frozenset({"*"})),
    "watcher-key": Identity("watcher", "acc_1", frozenset({"security:read"})),
}
LOCAL = Identity("local", None, frozenset({"*"}))
BANS, ALLOWED = "/house/v1/security/bans", "/house/v1/security/allowed"
ATTACKER = "192.0.2.66"


@pytest.fixture
async def door(tmp_path: Path, store_url: str) -> AsyncIterator[Door]:
    file = tmp_path / "pbxd.yaml"
    file.write_text(TEXT + "security: {allow: [203.0.113.0/24]}\n")
    config = load(file)
    store = await Store.open(store_url)
    wire = Wire(legs=4, sip_ring=1 << 12)
    wire.start()
    yield Door(config, wire, store, await Directory.load(store, config, WALL))
    wire.close()
    await store.close()


@pytest.fixture
def server(door: Door) -> Server:
    parts: dict[str, Any] = {field.name: None for field in fields(House)}
    house = House(**parts | {"door": door.entrance, "wall": lambda: WALL + 100.0, "now": lambda: 100.0})
    access = Access(KEYS.get)
    return Server([Surface(HOUSE, house, access.identify)])


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with serving(server) as (client, _):
        yield client


async def order(client: Client, method: str, path: str, body: object = None, *, key: str = "admin-key") -> Any:
    options = {"json": body} if body is not None else {}
    answer = await client.ask(method, path, key=key, **options)
    return answer.status, answer.json


async def test_a_ban_from_order_to_end(client: Client, door: Door) -> None:
    status, ban = await order(client, "POST", BANS, {"network": ATTACKER, "duration_s": 60, "reason": "noise"})
    assert status == 201
    shown = {name: ban[name] for name in ("network", "cause", "reason", "made_by", "offence", "hits", "ended_at")}
    assert shown == {
        "network": ATTACKER,
        "cause": "ordered",
        "reason": "noise",
        "made_by": "admin",
        "offence": 1,
        "hits": 0,
        "ended_at": None,
    }
    assert (ban["since"], ban["until"]) == ("2027-01-15T08:01:40Z", "2027-01-15T08:02:40Z")
    assert not door.doorman.admit(ATTACKER)
    assert (await order(client, "GET", f"{BANS}/{ban['id']}"))[1]["hits"] == 1
    status, lifted = await order(client, "DELETE", f"{BANS}/{ban['id']}")
    assert (status, lifted["ended_by"], lifted["hits"]) == (200, "admin", 1)
    assert (await order(client, "DELETE", f"{BANS}/{ban['id']}"))[0] == 404
    assert (await order(client, "GET", BANS))[1] == {"bans": [], "next": None}
    assert [each["id"] for each in (await order(client, "GET", f"{BANS}?state=ended"))[1]["bans"]] == [ban["id"]]


async def test_bans_are_filtered_and_paged(client: Client, door: Door) -> None:
    for number in range(5):
        await order(client, "POST", BANS, {"network": f"198.51.{number}.0/24"})
    for each in range(20):
        door.knock(ATTACKER, 0.01 * each, user=str(each))

    async def networks(query: str) -> list[str]:
        return [ban["network"] for ban in (await order(client, "GET", f"{BANS}?{query}"))[1]["bans"]]

    assert await networks("cause=spray") == [ATTACKER]
    assert await networks("network=198.51.3.9") == ["198.51.3.0/24"]
    assert await networks("network=198.51.3.0/24") == ["198.51.3.0/24"]
    assert await networks("network=198.51.0.0/16") == []
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await order(client, "GET", f"{BANS}?limit=2{cursor}"))[1]
        seen += [ban["id"] for ban in page["bans"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 6
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"network": "nonsense"}, 400, "bad_request"),
        ({"network": "0.0.0.0/0"}, 400, "bad_request"),
        ({"network": ATTACKER, "duration_s": -1}, 400, "bad_request"),
        ({"network": ATTACKER, "reason": "a\nb"}, 400, "bad_request"),
        ({"network": "203.0.113.7"}, 409, "conflict"),
        ({"network": "127.0.0.11"}, 409, "conflict"),
    ],
)
async def test_orders_that_are_refused(client: Client, body: dict[str, object], status: int, code: str) -> None:
    answered, said = await order(client, "POST", BANS, body)
    assert (answered, said["error"]["code"]) == (status, code)


async def test_who_may_look_may_not_order(client: Client) -> None:
    assert (await order(client, "GET", BANS, key="watcher-key"))[0] == 200
    assert (await order(client, "POST", BANS, {"network": ATTACKER}, key="watcher-key"))[0] == 403
    assert (await order(client, "POST", ALLOWED, {"network": ATTACKER}, key="watcher-key"))[0] == 403
    assert (await order(client, "DELETE", f"{ALLOWED}?network={ATTACKER}", key="watcher-key"))[0] == 403


async def test_the_allow_list(client: Client, door: Door) -> None:
    await order(client, "POST", BANS, {"network": ATTACKER})
    status, entry = await order(client, "POST", ALLOWED, {"network": "192.0.2.64/26", "note": "our office"})
    assert (status, entry["network"], entry["note"], entry["made_by"]) == (201, "192.0.2.64/26", "our office", "admin")
    assert door.doorman.admit(ATTACKER)
    listed = (await order(client, "GET", ALLOWED))[1]["allowed"]
    assert [(each["network"], each["made_by"]) for each in listed] == [
        ("203.0.113.0/24", "configuration"),
        ("192.0.2.64/26", "admin"),
    ]
    assert (await order(client, "DELETE", f"{ALLOWED}?network=203.0.113.0/24"))[0] == 409
    assert (await order(client, "DELETE", f"{ALLOWED}?network=192.0.2.64/26"))[0] == 200
    assert (await order(client, "DELETE", f"{ALLOWED}?network=192.0.2.64/26"))[0] == 404


async def test_the_slower_road(client: Client, door: Door) -> None:
    for attempt in range(4):
        door.log_in("192.0.2.7", 30.0 * attempt, password="wrong")
    slower = (await order(client, "GET", "/house/v1/security/slowed"))[1]
    assert slower == {
        "slowed": [],
        "misconfigured": [
            {
                "source": "192.0.2.7",
                "username": "1001",
                "failures": 4,
                "first": "2027-01-15T08:00:00Z",
                "last": "2027-01-15T08:01:30Z",
            }
        ],
    }


# ---- the command line


async def run(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Exit, str]:
    path = tmp_path / "pbxd.sock"
    async with serving(server, path):
        parser = build_parser(banning.add_commands)
        code = await asyncio.to_thread(lambda: act(parser.parse_args([*words, "--socket", str(path)])))
    printed = capsys.readouterr()
    said = [line for line in (printed.out + printed.err).splitlines(keepends=True) if " part=" not in line]  # no log
    return code, "".join(said)


async def test_the_command_line(server: Server, door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def say(*words: str) -> tuple[Exit, str]:
        return await run(server, tmp_path, capsys, *words)

    assert await say("bans") == (Exit.DONE, "Nobody is banned.\n")
    code, text = await say("ban", "198.51.100.0/24", "--for", "2d", "--reason", "noise")
    assert (code, text.startswith("198.51.100.0/24 is banned until 20")) == (Exit.DONE, True)
    assert (await say("ban", ATTACKER, "--for", "ever"))[1] == f"{ATTACKER} is banned until somebody lifts it.\n"
    code, text = await say("bans")
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["NETWORK", "SINCE", "UNTIL", "HITS", "TIMES", "BY", "REASON", "EVIDENCE"]
    assert {line[0] for line in lines[1:]} == {ATTACKER, "198.51.100.0/24"}
    found = json.loads((await say("bans", "198.51.100.9", "--json"))[1])
    assert [ban["network"] for ban in found["bans"]] == ["198.51.100.0/24"]
    assert (await say("unban", ATTACKER))[1] == f"{ATTACKER} is no longer banned; 0 were kept out.\n"
    assert (await say("unban", ATTACKER)) == (Exit.REFUSED, "pbxd: no such ban is in force\n")
    assert "ENDED BY" in (await say("bans", "--state", "ended"))[1]
    assert (await say("allow", "add", ATTACKER, "--note", "the tester"))[1] == f"{ATTACKER} is never banned.\n"
    assert (await say("ban", ATTACKER))[0] is Exit.REFUSED
    assert "the tester" in (await say("allow"))[1]
    assert (await say("allow", "remove", ATTACKER))[1] == f"{ATTACKER} is off the list.\n"
    for attempt in range(4):
        door.log_in("192.0.2.7", 30.0 * attempt, password="wrong")
    assert "192.0.2.7  1001      4" in (await say("bans"))[1]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30s", 30), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("ever", None)]
)
def test_times_as_people_write_them(text: str, seconds: float | None) -> None:
    assert banning.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "m", "1y", "-5", "1.5h", "forever"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        banning.duration(text)
