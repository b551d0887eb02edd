"""A new admin key for a house that does not run. Beside a running one the daemon makes it: its keys are in memory."""

from __future__ import annotations

import asyncio

from pbxd.config import Config
from pbxd.directory.accounts import Directory
from pbxd.directory.first_start import ADMIN_KEY_NAME
from pbxd.directory.keys import EVERYTHING, Keys
from pbxd.directory.seal import Seal
from pbxd.store import DataDirectory, Store, sqlite_url


def reset(config: Config, wall: float) -> str:
    """Make the admin key of the house of `config` anew and return it; the one of before opens nothing any more.

    Raises DataDirectoryError (a daemon runs), StoreError, Conflict (the configuration declares it).
    """
    data = DataDirectory.prepare(config.data_dir)
    try:
        return asyncio.run(_reset(config, data, wall))
    finally:
        data.release()


async def _reset(config: Config, data: DataDirectory, wall: float) -> str:
    url = config.store.url.get_secret_value() if config.store.url else sqlite_url(data.database)
    store = await Store.open(url)
    try:
        directory = await Directory.load(store, config, wall, Seal(data.secret))
        account = directory.default_account.id
        keys = await Keys.load(store, config, directory.ids, wall)
        return await keys.replace(account, ADMIN_KEY_NAME, [EVERYTHING], wall)
    finally:
        await store.close()
