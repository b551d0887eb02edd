"""`/route` to numbers of the world that no route fits: the default carrier is the house's, for all accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.api.node_house import ADMIN, EdgeHouse, edge_house


async def routed(house: EdgeHouse, call: str, domain: str, called: str) -> Any:
    body = {"callId": call, "from": "1001", "fromDomain": domain, "to": called}
    return (await house.post("/route", body, key=ADMIN))["rtjson"]


async def counted(house: EdgeHouse, account: str) -> dict[str, int]:
    found = (await house.ask("GET", f"/cac?accountId={account}", key=ADMIN)).json["counters"]
    return {f"{one['scope']} {one['id']}".replace(house.account(account), "own"): one["current"] for one in found}


async def test_the_houses_carrier_takes_and_counts_the_calls_of_all(tmp_path: Path) -> None:
    async with edge_house(tmp_path) as house:
        assert (await routed(house, "c1", "lab.example", "4930123456"))["number"] == "4930123456"
        told = await routed(house, "c2", "other.example", "+4930123456")
        assert {key: told[key] for key in ("action", "account_id", "trunk", "proxy", "number")} == {
            "action": "outbound",
            "account_id": house.account("other"),
            "trunk": "carrier",
            "proxy": "sip:192.0.2.9",
            "number": "4930123456",
        }
        assert (await counted(house, "lab"))["trunk carrier"] == 2  # whoever's call it is
        assert await counted(house, "other") == {"account own": 1, "user 1001": 1}
        for call, account in (("c1", "lab"), ("c2", "other")):
            body = {"type": "dialog", "callId": call, "accountId": account, "state": "ended"}
            await house.post("/presence/event", body, key=ADMIN)
        assert (await counted(house, "lab")).get("trunk carrier", 0) == 0
        steps = (await house.ask("GET", "/calls/c2/trace", key=ADMIN)).body
        assert b"no route fits: the default carrier carrier takes +4930123456" in steps
