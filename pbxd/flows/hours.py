"""Schedules that somebody overrode by hand, from a flow or by the API; they outlive a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from dialplan.hours import Moment, Opening, Override
from pbxd.store import Store
from pbxd.store.schema import meta

KEY = "schedule-overrides"
MOST = 1000


@dataclass(frozen=True, slots=True)
class Overridden:
    """One schedule that does not follow its hours. `by` is a key's name, or `call call_…`."""

    schedule: str
    opening: Opening
    until: float | None
    by: str


class Overrides:
    """`known` names the schedules there are; `wall` is the time in seconds since the epoch."""

    def __init__(self, store: Store, known: Callable[[], Collection[str]], wall: Callable[[], float]) -> None:
        self._store = store
        self._known = known
        self._wall = wall
        self._upsert = store.upsert(meta)
        self._rows: dict[str, Overridden] = {}
        self._live: Mapping[str, Override] = {}

    async def load(self) -> None:
        """Raises StoreError."""
        for row in await self._store.rows(select(meta.c.value).where(meta.c.key == KEY)):
            for name, (opening, until, by) in json.loads(row.value).items():
                self._rows[name] = Overridden(name, Opening(opening), until, by)
        self._changed(write=False)

    def moment(self, wall: float) -> Moment:
        """What a flow may know at that time."""
        return Moment(wall, self._live)

    def rows(self) -> list[Overridden]:
        """Those in force."""
        now = self._wall()
        return [row for row in self._rows.values() if row.until is None or now < row.until]

    def set(self, schedule: str, opening: str | None, until: float | None, by: str) -> str | None:
        """Override a schedule, or let it follow its hours again with an opening of None. Gives why it could not be."""
        if opening is None:
            self._rows.pop(schedule, None)
        elif schedule not in self._known():
            return f"there is no schedule {schedule[:64]}"
        elif len(self._rows) >= MOST and schedule not in self._rows:
            return "too many schedules are overridden"
        else:
            self._rows[schedule] = Overridden(schedule, Opening(opening), until, by)
        self._changed()
        return None

    def _changed(self, *, write: bool = True) -> None:
        self._rows = {row.schedule: row for row in self.rows()}
        self._live = {name: Override(row.opening, row.until) for name, row in self._rows.items()}
        if write:
            value = {name: (row.opening.value, row.until, row.by) for name, row in self._rows.items()}
            self._store.write(self._upsert, {"key": KEY, "value": json.dumps(value)})
