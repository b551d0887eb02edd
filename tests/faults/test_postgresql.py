"""The store is a PostgreSQL server, and that goes away for some seconds: calls go on, their records wait."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.clients.lab import Lab
from tests.clients.raw_sip import register
from tests.clients.until import until
from tests.faults.ailing import AilingHouse, EchoCall
from tests.faults.conftest import NewHouse
from tests.postgresql import Cluster

Stage = Callable[[AilingHouse], Lab]
QUICK_S = 0.5
BOUNDED_S = 6.0
DOES_NOT_TAKE = "the store does not take writes"


def _records(house: AilingHouse) -> list[str]:
    return [record["result"] for record in house.records()]


def _well(house: AilingHouse) -> None:
    until(lambda: house.ready()[1]["status"] == "ready", "the house to be well again", timeout=12)


def test_a_house_on_a_server_that_goes_away_and_comes_back(
    server: Cluster, server_url: str, new_house: NewHouse, stage: Stage
) -> None:
    house = new_house(**{"store.url": server_url})
    house.expected = {f"{DOES_NOT_TAKE} (store_away)"}
    lab = stage(house)
    first = EchoCall(lab)
    first.hang_up()
    until(lambda: _records(house) == ["success"], "the first record")
    assert not (house.data / "pbxd.db").exists()

    before = EchoCall(lab)
    assert register(lab.raw(), "1001", "lab-1001").status == 200
    until(lambda: house.metrics()["pbxd_store_pending_rows"] == 0, "both to be in the store")
    server.stop()
    during = EchoCall(lab)
    assert during.setup_s < QUICK_S
    assert register(lab.raw(), "1002", "lab-1002").status == 200
    during.hang_up()
    until(lambda: "store_away" in house.ready()[1]["checks"]["store"], "readiness to say so")
    assert house.metrics()['pbxd_store_trouble{reason="store_away"}'] == 1
    begun = time.monotonic()
    status, said = house.ask("POST", "/house/v1/keys/admin/reset")
    assert (status, said["error"]["code"], time.monotonic() - begun < BOUNDED_S) == (503, "store_away", True)
    before.hears_itself()

    server.start()
    _well(house)
    until(lambda: sorted(_records(house)) == ["success", "success"], "the record of the call in the dark")
    before.hang_up()
    until(lambda: _records(house) == ["success"] * 3, "all records")
    assert house.said(DOES_NOT_TAKE) == 1
    assert house.metrics().get('pbxd_store_rows_dropped_total{table="calls"}', 0) == 0
    house.stop()
    house.start()  # what was acknowledged is there
    assert {row["aor"].partition("@")[0].removeprefix("sip:") for row in house.registrations()} == {"1001", "1002"}
    assert _records(house) == ["success"] * 3


def test_a_house_does_not_start_without_its_server_and_says_so(
    server: Cluster, server_url: str, new_house: NewHouse
) -> None:
    house = new_house(**{"store.url": server_url})
    house.stop()
    house.expected = {"pbxd cannot start"}
    server.stop()
    code, said = house.start_in_vain()
    (line,) = [line for line in said.splitlines() if "pbxd cannot start" in line]
    assert (code, "Traceback" in said) == (1, False)
    assert "the database cannot be reached" in line
    assert server_url not in said
    server.start()
    house.start()
