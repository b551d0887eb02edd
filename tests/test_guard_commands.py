"""`pbxd cac` and `pbxd fraud`, asked of a house that is up, over its socket."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pbxd import guard_commands
from pbxd.app import App
from pbxd.calls.limits import Claims, Ticket
from pbxd.calls.record import Direction
from pbxd.cli import Exit, act, build_parser
from pbxd.directory.fraud import Block as FraudBlock
from pbxd.directory.fraud import Pattern
from pbxd.sip.flow import Transport
from tests.api.edge_house import house
from tests.clients.block import Block
from tests.clients.hand import calling

_LOGGED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} ")


@pytest.fixture
async def app(tmp_path: Path, block: Block) -> AsyncIterator[App]:
    async with house(tmp_path, block) as (app, _):
        yield app


async def run(app: App, *words: str) -> Exit:
    socket = app.config.data_dir / "pbxd.sock"
    arguments = build_parser(guard_commands.add_commands).parse_args([*words, "--socket", str(socket)])
    return await asyncio.to_thread(act, arguments)


@dataclass(frozen=True, slots=True)
class Said:
    out: str
    err: str


def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What the commands have said; the house writes its log to the same place."""
    read = capsys.readouterr()
    out = [line for line in read.out.splitlines(keepends=True) if not _LOGGED.match(line)]
    return Said("".join(out), read.err)


async def test_calls_are_counted_against_their_limits(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    async with calling(app.telephony.transports.bound[Transport.UDP][0]):
        assert await run(app, "cac", "lab") == Exit.DONE
        lines = said(capsys).out.splitlines()
        assert lines[0] == "account lab: 1 call up"
        assert lines[1].split() == ["WHOSE", "DIRECTION", "COUNTED", "NOW", "LIMIT", "NAME"]
        rows = {tuple(line.split()) for line in lines[2:]}
        assert ("account", "any", "at", "a", "time", "1", "2", "all") in rows
        assert ("account", "inbound", "in", "3600", "s", "1", "3", "hourly") in rows
        assert ("trunk", "peer", "any", "at", "a", "time", "1", "-", "-") in rows
        (call_id,) = app.telephony.switch.calls
        app.telephony.hangup(call_id)
    assert await run(app, "cac") == Exit.DONE
    everybody = said(capsys).out
    assert "account lab: 0 calls up" in everybody
    assert "account other: 0 calls up" in everybody


async def test_what_is_stuck_is_given_back(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    account, limits = app.directory.default_account, app.telephony.switch.gate.limits
    stuck = Claims("call_gone", account.id, Direction.OUTBOUND, users=("1001",), trunks=("out",))
    assert isinstance(limits.admit(stuck, 0.0), Ticket)
    assert await run(app, "cac", account.id, "--reset") == Exit.DONE
    assert "account lab: 0 calls up\ngiven back: 1\n" in said(capsys).out
    assert await run(app, "cac", "lab", "--json") == Exit.DONE
    (answer,) = json.loads(said(capsys).out)["accounts"]
    assert {one["current"] for one in answer["counters"]} == {0}
    assert await run(app, "cac", "nobody") == Exit.REFUSED
    assert said(capsys).err == "pbxd: there is no such account\n"


async def test_who_is_blocked_is_listed_and_released(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(app, "fraud") == Exit.DONE
    assert said(capsys).out == "Nobody is blocked.\n"
    wall = app.telephony.wall(app.telephony.now())
    for slug in ("lab", "other"):
        account = app.directory.account_named(slug)
        assert account is not None
        evidence = "13 short calls to +4420 within 600 s"
        block = FraudBlock(f"blk_{slug}", account.id, "1001", Pattern.BURST, evidence, wall, wall + 3600, refused=2)
        app.telephony.vigil.watch.fraud.blocks[account.id, "1001"] = block
    assert await run(app, "fraud", "list", "--account", "other") == Exit.DONE
    heading, row = said(capsys).out.splitlines()
    assert heading.split()[:3] == ["BLOCK", "CALLER", "ACCOUNT"]
    assert row.split()[:3] == ["blk_other", "1001", "other"]
    assert row.endswith("2        burst    13 short calls to +4420 within 600 s")
    assert await run(app, "fraud", "release", "blk_other") == Exit.DONE
    assert said(capsys).out == "1001 may call abroad again; 2 calls were refused.\n"
    assert await run(app, "fraud", "release", "blk_other") == Exit.REFUSED
    assert said(capsys).err == "pbxd: no such block is in force\n"
    assert await run(app, "fraud", "--state", "ended") == Exit.DONE
    ended = said(capsys).out
    assert "ENDED BY" in ended
    assert ended.splitlines()[1].split()[0] == "blk_other"
    assert " local " in ended
    assert await run(app, "fraud", "--json") == Exit.DONE
    assert [one["id"] for one in json.loads(said(capsys).out)["blocks"]] == ["blk_lab"]
