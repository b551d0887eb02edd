"""A house on a store of its own, declared by a few lines of configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pbxd.config import Config, load
from pbxd.directory.accounts import Directory
from pbxd.store import Store

WALL = 1_800_000_000.0
TEXT = """
account: {slug: lab, name: Lab, realm: lab.example, domains: [lab.example, 127.0.0.1]}
first_start: {phones: "", admin_key: false}
phones:
  "1001": {password: lab-1001, name: Alice}
  "1002": {password: lab-1002}
extensions:
  "600": {echo: true}
  "700": {user: "1001"}
trunks:
  uas: {proxy: "sip:127.0.0.1:5099", max_calls: 3}
  bench: {sources: [127.0.0.1], from_user: bench}
  peer: {sources: [127.0.0.11]}
  carrier:
    proxy: sip:carrier.example
    register: {username: me, password: mine-alone, expires_s: 600}
routes:
  - {match: "8XXX", trunk: uas}
  - {match: "0Z.", trunk: carrier, strip: 1, prepend: "+49"}
keys:
  lab-admin: {secret: lab-admin}
  reader: {secret: lab-reader, scopes: ["calls:read"]}
"""

Configure = Callable[[str], Config]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Reads a configuration from its text."""

    def configured(text: str) -> Config:
        path = tmp_path / "pbxd.yaml"
        path.write_text(text)
        return load(path)

    return configured


@pytest.fixture
def config(configure: Configure) -> Config:
    return configure(TEXT)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = await Store.open(store_url, interval_s=0.001)
    yield opened
    await opened.close()


@pytest.fixture
async def directory(store: Store, config: Config) -> Directory:
    return await Directory.load(store, config, WALL)
