"""Schedules that somebody overrode by hand, from a flow or by the API; they outlive a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select

from dialplan.hours import Moment, Opening, Override
from pbxd.store import Store
from pbxd.store.schema import meta

KEY = "schedule-overrides"
MOST = 1000  # of one account
_DELETE = delete(meta).where(meta.c.key == bindparam("gone"))


@dataclass(frozen=True, slots=True)
class Overridden:
    """One schedule that does not follow its hours. `by` is a key's name, or `call call_…`."""

    schedule: str
    opening: Opening
    until: float | None
    by: str


class Overrides:
    """Those of all accounts, by their ids. `known` names the schedules of an account, `home` is the default one; `wall`
    is the time in seconds since the epoch."""

    def __init__(
        self,
        store: Store,
        known: Callable[[str], Collection[str]],
        home: Callable[[], str],
        wall: Callable[[], float],
    ) -> None:
        self._store = store
        self._known = known
        self._home = home
        self._wall = wall
        self._upsert = store.upsert(meta)
        self._rows: dict[str, dict[str, Overridden]] = {}
        self._live: dict[str, Mapping[str, Override]] = {}

    async def load(self) -> None:
        """Raises StoreError."""
        for row in await self._store.rows(select(meta).where(meta.c.key.startswith(KEY, autoescape=True))):
            account_id = row.key.removeprefix(KEY).removeprefix("/") or self._home()
            for name, (opening, until, by) in json.loads(row.value).items():
                self._rows.setdefault(account_id, {})[name] = Overridden(name, Opening(opening), until, by)
            self._changed(account_id, write=False)

    def moment(self, account_id: str, wall: float) -> Moment:
        """What a flow of the account may know at that time."""
        return Moment(wall, self._live.get(account_id, {}))

    def rows(self, account_id: str) -> list[Overridden]:
        """Those in force."""
        now = self._wall()
        return [row for row in self._rows.get(account_id, {}).values() if row.until is None or now < row.until]

    def set(self, account_id: str, schedule: str, opening: str | None, until: float | None, by: str) -> str | None:
        """Override a schedule, or let it follow its hours again with an opening of None. Gives why it could not be."""
        rows = self._rows.setdefault(account_id, {})
        if opening is None:
            rows.pop(schedule, None)
        elif schedule not in self._known(account_id):
            return f"there is no schedule {schedule[:64]}"
        elif len(rows) >= MOST and schedule not in rows:
            return "too many schedules are overridden"
        else:
            rows[schedule] = Overridden(schedule, Opening(opening), until, by)
        self._changed(account_id)
        return None

    def forget(self, account_id: str) -> None:
        """The account is gone."""
        if self._rows.pop(account_id, None) is not None:
            self._live.pop(account_id, None)
            self._store.write(_DELETE, {"gone": self._key(account_id)})

    def _changed(self, account_id: str, *, write: bool = True) -> None:
        rows = self._rows[account_id] = {row.schedule: row for row in self.rows(account_id)}
        self._live[account_id] = {name: Override(row.opening, row.until) for name, row in rows.items()}
        if write:
            value = {name: (row.opening.value, row.until, row.by) for name, row in rows.items()}
            self._store.write(self._upsert, {"key": self._key(account_id), "value": json.dumps(value)})

    def _key(self, account_id: str) -> str:
        return KEY if account_id == self._home() else f"{KEY}/{account_id}"
