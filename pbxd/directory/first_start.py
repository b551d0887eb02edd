"""What an empty house is given, once: phones with passwords, and a key to its API."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import select

from pbxd.config.schema import Config
from pbxd.directory.accounts import Directory
from pbxd.directory.keys import EVERYTHING, Keys
from pbxd.store import Store
from pbxd.store.schema import meta

_MARK = "first_start"
ADMIN_KEY_NAME = "admin"


@dataclass(frozen=True, slots=True)
class Card:
    """All secrets of a first start, in plain: to be shown once and forgotten. `phones` are (extension, password)."""

    realm: str
    phones: tuple[tuple[str, str], ...] = field(repr=False)
    admin_key: str | None = field(repr=False)


async def first_start(directory: Directory, keys: Keys, store: Store, config: Config, wall: float) -> Card | None:
    """Make the phones and the key of `config.first_start` if this store never had them, else None.

    A number that already exists, declared in the file for one, is left alone. Raises StoreError.
    """
    if await store.rows(select(meta.c.value).where(meta.c.key == _MARK)):
        return None
    account = directory.default_account
    phones = await directory.add_phones(account, config.first_start.phones.numbers, wall)
    admin_key = None
    if config.first_start.admin_key and not any(
        (key.account_id, key.name) == (account.id, ADMIN_KEY_NAME) for key in keys.all()
    ):
        admin_key = await keys.make(account.id, ADMIN_KEY_NAME, [EVERYTHING], wall)
    await store.commit([(store.upsert(meta), {"key": _MARK, "value": str(wall)})])
    return Card(account.realm, tuple(phones), admin_key) if phones or admin_key else None
