"""The watch for toll fraud on live calls: what it learns and whom it blocks survives a restart, and is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, select

from pbxd.directory.fraud import Block, Fraud, Habits, Outward, Pattern, Rules
from pbxd.events import Bus
from pbxd.store import Store
from pbxd.store.schema import fraud_blocks, fraud_habits

log = logging.getLogger(__name__)

SAVE_S = 60.0
KEEP_S = 7_776_000.0  # ended blocks, in the store
_PURGE = delete(fraud_blocks).where(fraud_blocks.c.ended_at < bindparam("before"))


@dataclass(frozen=True, slots=True)
class CallerBlocked:
    """A caller may not call abroad for a time."""

    block: Block


@dataclass(frozen=True, slots=True)
class CallerUnblocked:
    """They may again: `block.ended_by` says by whose doing."""

    block: Block


class FraudWatch:
    """`fraud` with a memory and a voice. Times are seconds since the epoch; `zone` is an account's timezone, by its id,
    where it has one."""

    def __init__(
        self, store: Store, bus: Bus, rules: Rules, zone: Callable[[str], str | None] = lambda _account_id: None
    ) -> None:
        self.fraud = Fraud(rules, zone)
        self._store = store
        self._bus = bus
        self._save_habits = store.upsert(fraud_habits)
        self._save_block = store.upsert(fraud_blocks)
        self._saved_at = float("-inf")

    async def load(self, wall: float) -> None:
        """Takes up what the store holds. Raises StoreError."""
        self._store.write(_PURGE, {"before": wall - KEEP_S})
        habits, blocks = [], []
        for row in await self._store.rows(select(fraud_habits)):
            values = row._asdict()
            del values["id"]
            try:
                habits.append(Habits(**{**values, "countries": json.loads(row.countries)}))
            except ValueError:
                log.warning("the habits %s of the store are not readable and are left alone", row.id)
        for row in await self._store.rows(select(fraud_blocks).order_by(fraud_blocks.c.since)):
            try:
                blocks.append(Block(**{**row._asdict(), "pattern": Pattern(row.pattern)}))
            except ValueError:
                log.warning("the block %s of the store is not readable and is left alone", row.id)
        self.fraud.restore(habits, blocks, wall)

    # ---- what the gate asks

    def attempt(self, outward: Outward, wall: float) -> str | None:
        """Why this call may not be, or None."""
        verdict = self.fraud.attempt(outward.who, outward.key, outward.numbers, wall)
        if verdict.block is not None:
            self._keep(verdict.block)
            self._bus.publish(CallerBlocked(verdict.block))
        return verdict.reason

    def ended(self, key: str, talked_s: float, wall: float) -> None:
        """It is over."""
        self.fraud.ended(key, talked_s, wall)

    # ---- blocks

    def blocks(self) -> list[Block]:
        """Those in force and those that ended, newest first."""
        return sorted((*self.fraud.blocks.values(), *self.fraud.ended_blocks), key=lambda block: block.id, reverse=True)

    def lift(self, block_id: str, by: str, wall: float) -> Block:
        """Ends a block. Raises NotFound."""
        block = self.fraud.lift(block_id, by, wall)
        self._told_over(block)
        self.save()
        return block

    def tick(self, wall: float) -> None:
        """What is due; called every second or so."""
        for block in self.fraud.tick(wall):
            self._told_over(block)
        if wall - self._saved_at >= SAVE_S:
            self._saved_at = wall
            self.save()

    def save(self) -> None:
        """Writes down what was learnt since the last time."""
        changed, self.fraud.changed = self.fraud.changed, {}
        for block in self.fraud.blocks.values():
            self._keep(block)
        for habits in changed.values():
            self._store.write(self._save_habits, _habits_row(habits))

    # ---- inside

    def _told_over(self, block: Block) -> None:
        self._keep(block)
        self._bus.publish(CallerUnblocked(block))

    def _keep(self, block: Block) -> None:
        names = (*Block.__dataclass_fields__,)
        self._store.write(self._save_block, {name: getattr(block, name) for name in names} | {
            "pattern": block.pattern.value})  # fmt: skip


def _habits_row(habits: Habits) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(habits, name) for name in Habits.__dataclass_fields__}
    return row | {
        "id": f"habits/{habits.account_id}/{habits.caller}",
        "countries": json.dumps(habits.countries, sort_keys=True),
    }
