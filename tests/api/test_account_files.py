"""An account as one file, with its call flows: out of one house, into another account, whole or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.api.town import Town, town
from tests.clients.block import Block

GREETING = "title: Greeting\nparts:\n  begin:\n    - say: Good day.\n    - return\n"
DOOR = "title: Door\nparts:\n  begin:\n    - answer\n    - call: greeting\n    - hangup\n"


@pytest_asyncio.fixture
async def place(tmp_path: Path, block: Block) -> AsyncIterator[Town]:
    async with town(tmp_path, block) as place:
        yield place


async def written_out(place: Town) -> dict[str, Any]:
    """The account `red` with two flows, to be read in as `copy`."""
    for name, text in (("greeting", GREETING), ("door", DOOR)):
        await place.told("PUT", f"/flows/{name}", "red", json={"text": text})
    document: dict[str, Any] = await place.told("GET", "/accounts/red/export", "red")
    assert document["flows"] == {"greeting": GREETING, "door": DOOR}
    document["account"] |= {"slug": "copy", "realm": "copy.test", "domains": ["copy.test"]}
    return document | {"numbers": [], "trunks": [], "routes": []}


async def test_its_flows_go_with_it(place: Town) -> None:
    document = await written_out(place)
    document["flows"] = dict(reversed(document["flows"].items()))  # the one that is called comes last
    await place.told("POST", "/accounts/import", "lab", json=document)
    live = await place.told("GET", "/flows?account=copy", "lab")
    assert {one["name"] for one in live["flows"]} == {"greeting", "door"}
    again = await place.told("GET", "/accounts/copy/export", "lab")
    assert again["flows"] == document["flows"]


async def test_an_account_whose_flows_are_not_good_does_not_come_in(place: Town) -> None:
    document = await written_out(place)
    del document["flows"]["greeting"]
    answer = await place.ask("POST", "/house/v1/accounts/import", "lab", json=document)
    assert answer.status == 400
    assert "greeting" in answer.json["error"]["message"]
    assert place.app.directory.account_named("copy") is None
    document["flows"] = {"../door": DOOR}
    assert (await place.ask("POST", "/house/v1/accounts/import", "lab", json=document)).status == 400
    assert place.app.directory.account_named("copy") is None
