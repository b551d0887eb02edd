"""Somebody sets the clock by an hour: calls and registrations do not notice, and what is written down stays sane."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

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
