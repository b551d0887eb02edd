"""Somebody sets the clock by an hour: calls and registrations do not notice, and what is written down stays sane."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pbxd.calls.record import Timeline
from pbxd.clock import JUMP_S, WallClock
from tests.clients.house import Json
from tests.clients.lab import Lab
from tests.clients.raw_sip import register
from tests.clients.until import until
from tests.faults.ailing import AilingHouse, EchoCall
from tests.faults.conftest import NewHouse
from tests.faults.levers import Levers

Stage = Callable[[AilingHouse], Lab]
PROJECT = Path(__file__).resolve().parents[2]
WALL_CLOCKS = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.datetime.now",
    "datetime.utcnow",
    "time.localtime",
}
HOUR_S = 3600.0
WAS_SET = "the clock was set by"


class Clocks:
    """Two clocks, of which one may be set."""

    def __init__(self) -> None:
        self.now = 50.0
        self.offset = 1_000_000.0

    def wall(self) -> float:
        return self.now + self.offset

    def monotonic(self) -> float:
        return self.now


def test_a_clock_that_is_set_is_noticed_and_one_that_is_slewed_is_not() -> None:
    clocks = Clocks()
    clock = WallClock(clocks.wall, clocks.monotonic)
    assert clock.at(60.0) == 1_000_060.0
    noticed = []
    for by in (0.0, HOUR_S, 0.0, -2 * HOUR_S, JUMP_S * 0.9, JUMP_S * 0.9):
        clocks.now += 1
        clocks.offset += by
        noticed.append(clock.beat())
    assert noticed == [0.0, HOUR_S, 0.0, -2 * HOUR_S, 0.0, 0.0]
    assert (clock.jumps, clock.at(60.0)) == (2, clocks.offset + 60.0)


ASK_FOR_THE_TIME = {
    "pbxd/app.py": "stamps of new rows, the heartbeat, the API",
    "pbxd/box.py": "names of back-ups; the command line",
    "pbxd/clock.py": "the house's clock",
    "pbxd/doctor/around.py": "whether the clock is right",
    "pbxd/flow_tools.py": "the moment of a simulated call",
    "pbxd/logs.py": "stamps of lines",
    "pbxd/outbox/outbox.py": "stamps of deliveries; their schedule is monotonic",
    "pbxd/outbox/web.py": "Retry-After with a date, which has an upper bound",
    "pbxd/services/deliveries.py": "the date of a test mail",
    "pbxd/telephony.py": "validity of the house's own certificate",
}
"""Who may know what time it is, and what for. Whoever has a deadline is not among them."""


def test_nothing_with_a_deadline_asks_what_time_it_is() -> None:
    asking = set()
    for path in [*(PROJECT / "pbxd").rglob("*.py"), *(PROJECT / "media").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL_CLOCKS:
                asking.add(str(path.relative_to(PROJECT)))
    assert asking - set(ASK_FOR_THE_TIME) == set(), "say there what for, or go by the monotonic clock"


def test_the_clock_of_a_call_runs_by_itself() -> None:
    timeline = Timeline(wall=1_000_000.0, now=50.0)
    assert (timeline(50.0), timeline(62.5)) == (1_000_000.0, 1_000_012.5)


@pytest.mark.parametrize("hours", [1, -1])
def test_an_hour_that_is_not_there_ends_nothing(hours: int, levers: Levers, new_house: NewHouse, stage: Stage) -> None:
    house = new_house(**{"sip.registrar.min_expires_s": 60})
    lab = stage(house)
    phone = lab.raw()
    begun = time.time()
    assert register(phone, "1001", "lab-1001", expires=600).status == 200
    call = EchoCall(lab)
    call.hears_itself()
    levers.pull(wall_s=hours * HOUR_S)
    until(lambda: house.said(WAS_SET), "the house to notice")
    assert house.metrics()["pbxd_clock_jumps_total"] == 1
    call.hears_itself(packets=50)
    (live,) = house.calls()
    assert 0 < live["duration_s"] < 20

    assert register(phone, "1001", "lab-1001", expires=600).status == 200  # a nonce of before, a binding of before
    (binding,) = house.registrations()
    left = datetime.fromisoformat(binding["expires_at"]) - datetime.now(UTC) - timedelta(hours=hours)
    assert 570 < left.total_seconds() < 630
    second = EchoCall(lab)
    second.hang_up()
    call.hang_up()

    records = {record["id"]: record for record in until(lambda: _two(house), "both records")}
    first = records[live["id"]]
    assert first["result"] == "success"
    assert 1 < first["duration_s"] < 20
    stamps = [first["started_at"], first["answered_at"], first["ended_at"]]
    assert stamps == sorted(stamps)
    assert abs(datetime.fromisoformat(first["started_at"]).timestamp() - begun) < 10  # by the clock it began with
    (other,) = [record for record in records.values() if record["id"] != live["id"]]
    assert abs(datetime.fromisoformat(other["started_at"]).timestamp() - begun - hours * HOUR_S) < 20

    house.stop()
    house.start()  # in the new time: the binding is as old as it is
    (binding,) = house.registrations()
    left = datetime.fromisoformat(binding["expires_at"]) - datetime.now(UTC) - timedelta(hours=hours)
    assert 560 < left.total_seconds() < 630


def _two(house: AilingHouse) -> list[Json]:
    records = house.records()
    return records if len(records) == 2 else []
