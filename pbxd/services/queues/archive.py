"""Where queues are written down: the state of each account as one row, and each day's figures."""

from __future__ import annotations

import json
import logging
from typing import Any

from sqlalchemy import select

from pbxd.services.queues.statistics import Day
from pbxd.store import Store
from pbxd.store.schema import queue_days, queue_states

log = logging.getLogger(__name__)

MAX_DAYS = 400


class Archive:
    """The rows of all accounts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._save_state = store.upsert(queue_states)
        self._save_day = store.upsert(queue_days)

    def save(self, account_id: str, state: dict[str, Any], wall: float) -> None:
        """Queued; nobody waits for it."""
        self._store.write(
            self._save_state, {"id": account_id, "account_id": account_id, "data": json.dumps(state), "saved_at": wall}
        )

    def save_day(self, account_id: str, day: Day) -> None:
        data = json.dumps(day.plain())
        row = {"id": f"{account_id}/{day.name}", "account_id": account_id, "day": day.name, "data": data}
        self._store.write(self._save_day, row)

    async def states(self) -> dict[str, tuple[dict[str, Any], float]]:
        """By account, each with when it was saved. One that cannot be read is left out. Raises StoreError."""
        found: dict[str, tuple[dict[str, Any], float]] = {}
        for row in await self._store.rows(select(queue_states)):
            try:
                found[row.account_id] = json.loads(row.data), float(row.saved_at)
            except ValueError:
                log.warning("the state of the queues of %s cannot be read", row.account_id)
        return found

    async def days(self, account_id: str, since: str, until: str) -> list[Day]:
        """Those from `since` to `until` (`2026-03-01`), both included, oldest first. Raises StoreError."""
        query = (
            select(queue_days)
            .where(queue_days.c.account_id == account_id, queue_days.c.day >= since, queue_days.c.day <= until)
            .order_by(queue_days.c.day)
            .limit(MAX_DAYS)
        )
        return [Day.read(json.loads(row.data)) for row in await self._store.rows(query)]
