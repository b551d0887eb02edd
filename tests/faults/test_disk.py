"""The disk of the store is full, slow, or somebody else's: calls go on, their records wait, waiting has an end."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.clients.lab import Lab
from tests.clients.raw_sip import register
from tests.clients.until import until
from tests.faults.ailing import AilingHouse, EchoCall
from tests.faults.conftest import NewHouse
from tests.faults.levers import Levers, fill

Stage = Callable[[AilingHouse], Lab]
BOUNDED_S = 6.0
QUICK_S = 0.5
DOES_NOT_TAKE = "the store does not take writes"


def _records(house: AilingHouse) -> list[str]:
    return [record["result"] for record in house.records()]


def _degraded(house: AilingHouse, reason: str) -> None:
    """The house says so in all its ways, and is still to be called."""
    until(lambda: reason in house.ready()[1]["checks"]["store"], f"readiness to say {reason}")
    status, said = house.ready()
    assert (status, said["status"], said["checks"]["sip"], said["checks"]["wire"]) == (200, "degraded", "ok", "ok")
    assert house.metrics()[f'pbxd_store_trouble{{reason="{reason}"}}'] == 1
    assert house.metrics()[f'pbxd_store_troubles_total{{reason="{reason}"}}'] == 1


def _well(house: AilingHouse) -> None:
    until(lambda: house.ready()[1]["status"] == "ready", "the house to be well again", timeout=12)
    until(lambda: house.metrics()["pbxd_store_oldest_seconds"] < 1, "the queue to be short again")


def test_a_full_disk_costs_no_call_and_no_record(disk: Path, new_house: NewHouse, stage: Stage) -> None:
    house = new_house(data_dir=str(disk / "data"))
    house.expected = {f"{DOES_NOT_TAKE} (disk_full)"}
    lab = stage(house)
    before = EchoCall(lab)
    fill(disk / "ballast")
    during = EchoCall(lab)
    assert during.setup_s < QUICK_S
    assert register(lab.raw(), "1001", "lab-1001").status == 200
    during.hang_up()
    _degraded(house, "disk_full")
    before.hears_itself()
    status, said = house.ask("POST", "/house/v1/keys/admin/reset")
    assert (status, said["error"]["code"]) == (503, "disk_full")
    assert _records(house) == []
    (disk / "ballast").unlink()
    _well(house)
    assert _records(house) == ["success"]
    before.hang_up()
    until(lambda: _records(house) == ["success", "success"], "both records")
    assert house.said(DOES_NOT_TAKE) == 1
    assert house.metrics().get('pbxd_store_rows_dropped_total{table="calls"}', 0) == 0
    house.stop()
    house.start()  # what was acknowledged is on the disk
    assert len(house.registrations()) == 1


def test_a_disk_that_takes_seconds_delays_no_call(levers: Levers, new_house: NewHouse, stage: Stage) -> None:
    house = new_house()
    house.expected = {f"{DOES_NOT_TAKE} (store_slow)"}
    lab = stage(house)
    levers.pull(disk_delay_s=0.4)
    calls = [EchoCall(lab) for _ in range(5)]
    assert max(call.setup_s for call in calls) < QUICK_S
    calls.pop().hang_up()
    _degraded(house, "store_slow")
    assert house.metrics()["pbxd_store_pending_rows"] > 0
    begun = time.monotonic()
    status, said = house.ask("POST", "/house/v1/keys/admin/reset")
    assert (status, said["error"]["code"]) == (503, "store_slow")
    assert time.monotonic() - begun < BOUNDED_S
    calls[0].hears_itself()
    levers.release()
    _well(house)
    for call in calls:
        call.hang_up()
    until(lambda: _records(house) == ["success"] * 5, "all records")


def test_a_disk_that_fails_is_named(levers: Levers, new_house: NewHouse, stage: Stage) -> None:
    house = new_house()
    house.expected = {f"{DOES_NOT_TAKE} (disk_failing)"}
    lab = stage(house)
    levers.pull(disk_errno=errno.EIO)
    EchoCall(lab).hang_up()
    _degraded(house, "disk_failing")
    levers.release()
    _well(house)
    assert _records(house) == ["success"]


def test_a_store_that_somebody_has_locked_is_waited_for(new_house: NewHouse, stage: Stage) -> None:
    house = new_house()
    house.expected = {f"{DOES_NOT_TAKE} (store_locked)"}
    lab = stage(house)
    with closing(sqlite3.connect(house.data / "pbxd.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        call = EchoCall(lab)
        assert call.setup_s < QUICK_S
        call.hang_up()
        _degraded(house, "store_locked")
        begun = time.monotonic()
        status, said = house.ask("POST", "/house/v1/keys/admin/reset")
        assert (status, said["error"]["code"]) == (503, "store_locked")
        assert time.monotonic() - begun < BOUNDED_S
        assert _records(house) == []  # reading is not in the way of a writer
        other.execute("ROLLBACK")
    _well(house)
    assert _records(house) == ["success"]
    assert house.said(DOES_NOT_TAKE) == 1


def test_a_stop_does_not_wait_for_ever_for_a_store(new_house: NewHouse, stage: Stage) -> None:
    house = new_house()
    lab = stage(house)
    with closing(sqlite3.connect(house.data / "pbxd.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        EchoCall(lab).hang_up()
        house.expected = {DOES_NOT_TAKE, "the store was closed with", "traces "}
        assert house.stop() < BOUNDED_S + 2
    house.start()
