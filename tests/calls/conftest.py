"""A wire with a house on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from pbxd.directory.accounts import Directory
from pbxd.store import Store, sqlite_url
from tests.calls.house import WALL, House, config_in
from tests.calls.ladders import traces_tell_the_truth
from tests.clients.block import Block
from tests.wire import Wire


@pytest_asyncio.fixture
async def house(tmp_path: Path, block: Block) -> AsyncIterator[House]:
    config = config_in(tmp_path)
    store = await Store.open(sqlite_url(tmp_path / "house.db"))
    directory = await Directory.load(store, config, WALL)
    house = House(Wire(), directory, store, config, block.rtp_pool(), tmp_path)
    yield house
    traces_tell_the_truth(house)
    house.facilities.media.close()
    house.mover.close()
    await store.close()
