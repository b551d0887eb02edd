"""A voicemail for the mailboxes 1002, 1003 and a shared one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from pydantic import SecretStr

from pbxd.config.mailboxes import Mailbox
from pbxd.store import Store
from tests.services.voicemail.theatre import House

MAILBOXES = {
    "1002": Mailbox(pin=SecretStr("1002")),
    "1003": Mailbox(pin=SecretStr("1003"), max_messages=2),
    "1999": Mailbox(pin=SecretStr("1999"), users=("1002", "1004"), answers=False),
}


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    store = await Store.open(store_url)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def house(store: Store, tmp_path: Path) -> House:
    return await House(store, tmp_path / "voicemail").load(MAILBOXES, pin_tries=3, lock_s=600)
