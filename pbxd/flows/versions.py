"""Every version of a flow that was live, in the store, the newest last; so that any can come back."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from sqlalchemy import insert, select

from pbxd.ids import new_id
from pbxd.store import Store
from pbxd.store.queue import Write
from pbxd.store.schema import flow_versions

MOST = 100
"""Versions of one flow that are kept."""

_INSERT = insert(flow_versions)
_FIELDS = ("id", "name", "digest", "made_by", "created_at")


@dataclass(frozen=True, slots=True)
class Version:
    """One version, without its text. `made_by` is `file`, or the name of the key that uploaded it."""

    id: str
    name: str
    digest: str
    made_by: str
    created_at: float


class Versions:
    """Those of all accounts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._delete = store.delete_by_id(flow_versions)
        self._known: dict[tuple[str, str], list[Version]] = {}  # by account id and name

    async def load(self) -> None:
        """Raises StoreError."""
        columns = [flow_versions.c[name] for name in ("account_id", *_FIELDS)]
        self._known = {}
        for row in await self._store.rows(select(*columns).order_by(flow_versions.c.id)):
            version = Version(**{name: getattr(row, name) for name in _FIELDS})
            self._known.setdefault((row.account_id, row.name), []).append(version)

    def of(self, account_id: str, name: str) -> list[Version]:
        """Newest first."""
        return list(reversed(self._known.get((account_id, name), ())))

    def find(self, account_id: str, name: str, version_id: str) -> Version | None:
        return next((one for one in self._known.get((account_id, name), ()) if one.id == version_id), None)

    async def text(self, account_id: str, version_id: str) -> str | None:
        """Raises StoreError."""
        await self._store.drain()  # its row may still be in the queue
        mine = (flow_versions.c.id == version_id) & (flow_versions.c.account_id == account_id)
        rows = await self._store.rows(select(flow_versions.c.text).where(mine))
        return next((str(row.text) for row in rows), None)

    def keep(self, account_id: str, name: str, digest: str, text: str, made_by: str, wall: float) -> None:
        """A version is live now; that it still is, is no news. Written by the queue: nobody waits for it."""
        known = self._known.setdefault((account_id, name), [])
        if known and known[-1].digest == digest:
            return
        version = Version(new_id("flow", wall), name, digest, made_by, wall)
        row = {field: getattr(version, field) for field in _FIELDS} | {"account_id": account_id, "text": text}
        writes: list[Write] = [(_INSERT, row)]
        known.append(version)
        while len(known) > MOST:
            writes.append((self._delete, {"key": known.pop(0).id}))
        for statement, values in writes:
            self._store.write(statement, values)

    def forget(self, account_id: str) -> None:
        """All of an account that is gone."""
        for key in [key for key in self._known if key[0] == account_id]:
            for version in self._known.pop(key):
                self._store.write(self._delete, {"key": version.id})


def difference(old: str, new: str, old_name: str, new_name: str) -> str:
    """As `diff -u` writes it."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm="")
    return "\n".join(lines)
