"""API keys: random, looked up by their SHA-256, known in full only to who holds them."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import select

from pbxd.config.schema import Config
from pbxd.directory.declared import PREFIXES, Changes, declarations
from pbxd.errors import Conflict
from pbxd.ids import new_id
from pbxd.store import Store
from pbxd.store.schema import keys as keys_table

EVERYTHING = "*"
MAX_KEY = 256
_MADE_BYTES = 32


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who calls the API, and what they may do."""

    id: str
    account_id: str
    name: str
    scopes: frozenset[str]
    declared: bool = False


def hash_key(secret: str) -> str:
    """What is stored of a key. SHA-256 is enough for a random secret; argon2 is for passwords (DESIGN §4)."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


class Keys:
    """All keys of all accounts, in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_hash: dict[str, tuple[str, ApiKey]] = {}

    @classmethod
    async def load(cls, store: Store, config: Config, accounts: Mapping[str, str], wall: float) -> Self:
        """Read the store, and make the keys `config` declares true in it. `accounts` are the ids of accounts by their
        short names. Raises StoreError."""
        keys = cls(store)
        await keys.reload(config, accounts, wall)
        return keys

    async def reload(self, config: Config, accounts: Mapping[str, str], wall: float) -> None:
        """Take up a changed configuration. Raises StoreError."""
        rows = [row._asdict() for row in await self._store.rows(select(keys_table))]
        changes = Changes(self._store, wall)
        declared = {account.slug: account.sections.keys for account in declarations(config)}
        for slug, account_id in accounts.items():
            wanted: dict[Any, dict[str, Any]] = {
                name: {
                    "account_id": account_id,
                    "hash": hash_key(key.secret.get_secret_value()),
                    "scopes": json.dumps(sorted(key.scopes)),
                }
                for name, key in declared.get(slug, {}).items()
            }
            changes.match("keys", [row for row in rows if row["account_id"] == account_id], "name", wanted)
        if changes.writes:
            await self._store.commit(changes.writes)
            rows = [row._asdict() for row in await self._store.rows(select(keys_table))]
        self._by_hash = {row["hash"]: (row["hash"], _key(row)) for row in rows}

    def check(self, secret: str) -> ApiKey | None:
        """The key that `secret` is, or None."""
        if len(secret) > MAX_KEY:
            return None
        digest = hash_key(secret)
        stored, key = self._by_hash.get(digest, ("", None))
        return key if key is not None and hmac.compare_digest(stored, digest) else None

    def all(self) -> list[ApiKey]:
        return [key for _, key in self._by_hash.values()]

    async def make(self, account_id: str, name: str, scopes: Sequence[str], wall: float) -> str:
        """Make a key and return it, the only time it is seen. Raises Conflict when the name is taken; StoreError."""
        if any((key.account_id, key.name) == (account_id, name) for key in self.all()):
            raise Conflict(f"there is already a key {name}")
        secret = f"pbxd_{secrets.token_urlsafe(_MADE_BYTES)}"
        row = {
            "id": new_id(PREFIXES["keys"], wall),
            "account_id": account_id,
            "name": name,
            "hash": hash_key(secret),
            "scopes": json.dumps(sorted(scopes)),
            "declared": False,
            "created_at": wall,
        }
        await self._store.commit([(self._store.upsert(keys_table), row)])
        self._by_hash[hash_key(secret)] = (hash_key(secret), _key(row))
        return secret

    async def replace(self, account_id: str, name: str, scopes: Sequence[str], wall: float) -> str:
        """Make the key `name` anew and return it, the only time it is seen; the one of before stops working at once.

        Raises Conflict where the configuration declares it; StoreError.
        """
        mine = {key.name: (digest, key) for digest, key in self._by_hash.values() if key.account_id == account_id}
        digest, before = mine.get(name, ("", None))
        if before is None:
            return await self.make(account_id, name, scopes, wall)
        if before.declared:
            raise Conflict(
                f"the configuration declares the key {name}: change it there (keys.{name}.secret), and reload"
            )
        await self._store.commit([(self._store.delete_by_id(keys_table), {"key": before.id})])
        del self._by_hash[digest]
        return await self.make(account_id, name, scopes, wall)


def _key(row: dict[str, Any]) -> ApiKey:
    return ApiKey(row["id"], row["account_id"], row["name"], frozenset(json.loads(row["scopes"])), row["declared"])
