"""Keys that an admin of the fax contract mints: with an owner, an end and scopes; the token is seen once.

A token is `fbk_live_<id>_<secret>`. It is random, so its SHA-256 is what is stored (DESIGN §4).
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from pbxd.directory.keys import MAX_KEY, hash_key
from pbxd.errors import NotFound
from pbxd.store import Store
from pbxd.store.faxes import fax_keys

PREFIX = "fbk_live_"
USED_EVERY_S = 60.0  # how exact `last_used_at` is
_FIELDS = ("id", "name", "owner", "note", "rate_per_minute", "created_at", "expires_at", "revoked_at", "last_used_at")


@dataclass(frozen=True, slots=True)
class MintedKey:
    """One key, without its secret. Times are seconds since the epoch; `rate_per_minute` None is that of the house."""

    id: str
    account_id: str
    name: str
    owner: str
    note: str
    scopes: frozenset[str]
    digest: str
    rate_per_minute: int | None
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    def good(self, wall: float) -> bool:
        return self.revoked_at is None and (self.expires_at is None or wall < self.expires_at)


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What a key is to be."""

    name: str = ""
    owner: str = ""
    note: str = ""
    scopes: Sequence[str] = ()
    expires_at: float | None = None
    rate_per_minute: int | None = None


class MintedKeys:
    """All of them, in memory. `wall` is the time in seconds since the epoch; `used` hears of a key that is used, once
    in USED_EVERY_S, and may be assigned to."""

    def __init__(self, store: Store, wall: Callable[[], float]) -> None:
        self._store = store
        self._wall = wall
        self._keys: dict[str, MintedKey] = {}
        self._save = store.upsert(fax_keys)
        self.used: Callable[[MintedKey], None] = lambda _key: None

    async def load(self) -> None:
        """Raises StoreError."""
        rows = await self._store.rows(select(fax_keys))
        self._keys = {row.id: _key(row._asdict()) for row in rows}

    def __len__(self) -> int:
        return len(self._keys)

    def of(self, account_id: str) -> list[MintedKey]:
        """Those of an account, newest first, also those that were revoked."""
        own = [key for key in self._keys.values() if key.account_id == account_id]
        return sorted(own, key=lambda key: -key.created_at)

    def check(self, token: str) -> MintedKey | None:
        """The key that `token` is, if it is good now."""
        if len(token) > MAX_KEY or not token.startswith(PREFIX):
            return None
        key = self._keys.get(token[len(PREFIX) :].partition("_")[0])
        digest = hash_key(token)
        if key is None or not hmac.compare_digest(key.digest, digest) or not key.good(self._wall()):
            return None
        if key.last_used_at is None or self._wall() - key.last_used_at >= USED_EVERY_S:
            key = self._keys[key.id] = replace(key, last_used_at=self._wall())
            self._store.write(self._save, _row(key))
            self.used(key)
        return key

    async def mint(self, account_id: str, wish: KeyWish) -> tuple[MintedKey, str]:
        """A new key of an account, and its token. Raises StoreError."""
        key_id, wall = secrets.token_hex(6), self._wall()
        token = _token(key_id)
        key = MintedKey(
            id=key_id,
            account_id=account_id,
            name=wish.name,
            owner=wish.owner,
            note=wish.note,
            scopes=frozenset(wish.scopes),
            digest=hash_key(token),
            rate_per_minute=wish.rate_per_minute,
            created_at=wall,
            expires_at=wish.expires_at,
        )
        await self._keep(key)
        return key, token

    async def rotate(self, account_id: str, key_id: str) -> str:
        """A new token for the same key; the old one is dead at once. Raises NotFound, StoreError."""
        key = self._find(account_id, key_id)
        token = _token(key_id)
        await self._keep(replace(key, digest=hash_key(token)))
        return token

    async def revoke(self, account_id: str, key_id: str) -> None:
        """Raises NotFound, StoreError."""
        key = self._find(account_id, key_id)
        if key.revoked_at is None:
            await self._keep(replace(key, revoked_at=self._wall()))

    def _find(self, account_id: str, key_id: str) -> MintedKey:
        key = self._keys.get(key_id)
        if key is None or key.account_id != account_id:
            raise NotFound("Key not found")
        return key

    async def _keep(self, key: MintedKey) -> None:
        await self._store.commit([(self._save, _row(key))])
        self._keys[key.id] = key


def _token(key_id: str) -> str:
    return f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"


def _row(key: MintedKey) -> dict[str, Any]:
    row = {name: getattr(key, name) for name in _FIELDS}
    return row | {"account_id": key.account_id, "hash": key.digest, "scopes": json.dumps(sorted(key.scopes))}


def _key(row: dict[str, Any]) -> MintedKey:
    own = {name: row[name] for name in _FIELDS}
    return MintedKey(
        **own, account_id=row["account_id"], digest=row["hash"], scopes=frozenset(json.loads(row["scopes"]))
    )
