"""Writes that nobody waits for: collected, put into as few statements as their order allows, committed in batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from sqlalchemy import Delete, Insert, Table, Update

from pbxd.store.engine import name_of
from pbxd.store.trouble import trouble_of

log = logging.getLogger(__name__)

Statement = Insert | Update | Delete
Values = dict[str, Any]
Write = tuple[Statement, Values]
MAX_PENDING = 100_000
MAX_BATCH = 2_000
FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 5.0


@dataclass(slots=True)
class Run:
    """Rows that one `executemany` writes: one statement, the same columns in each."""

    statement: Statement
    rows: list[Values]
    keys: set[object]


@dataclass(frozen=True, slots=True)
class WriteStatistics:
    """`oldest_s` is the age of the first write still pending; `dropped` and `poisoned` count rows by table."""

    pending: int
    written: int
    dropped: dict[str, int]
    poisoned: dict[str, int]
    retries: int
    oldest_s: float


def row_key(values: Values) -> object:
    """What names the row: `id`, or `key` where the statement's WHERE asks for it."""
    return values.get("id", values.get("key"))


def runs(writes: Sequence[Write]) -> list[Run]:
    """Put `writes` into as few runs as keep the order of the writes of each row.

    A write joins an earlier run of its statement unless a run in between writes the same row. Rows of different keys
    are independent; a write that names no row stays where it stands.
    """
    tables: dict[str, list[Run]] = {}
    for statement, values in writes:
        made = tables.setdefault(_table(statement), [])
        key = row_key(values)
        for run in reversed(made):
            if run.statement is statement and run.rows[0].keys() == values.keys():
                run.rows.append(values)
                run.keys.add(key)
                break
            if key is None or key in run.keys or None in run.keys:
                made.append(Run(statement, [values], {key}))
                break
        else:
            made.append(Run(statement, [values], {key}))
    return [run for made in tables.values() for run in made]


def runs_in_order(writes: Sequence[Write]) -> list[Run]:
    """Put `writes` into runs without changing their order at all."""
    made: list[Run] = []
    for statement, values in writes:
        if made and made[-1].statement is statement and made[-1].rows[0].keys() == values.keys():
            made[-1].rows.append(values)
        else:
            made.append(Run(statement, [values], set()))
    return made


@dataclass(slots=True, eq=False)
class _Entry:
    """A write that waits; `number` counts all that ever waited."""

    number: int
    key: tuple[str, object]  # the table and the row
    statement: Statement
    values: Values
    at: float

    def replaced_by(self, statement: Statement, values: Values, taken: int) -> bool:
        """Whether a later write of its row says all that it says; not once it is `taken` to be written."""
        return self.number > taken and self.statement is statement and self.values.keys() == values.keys()


@dataclass(slots=True)
class _Waiter:
    until: int
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class WriteQueue:
    """`write` appends, `run` (one task, the store's) commits. `execute` writes runs in one transaction or raises."""

    def __init__(self, execute: Callable[[Sequence[Run]], Awaitable[None]], interval_s: float) -> None:
        self._execute = execute
        self._interval_s = interval_s
        self._pending: deque[_Entry] = deque()
        self._latest: dict[tuple[str, object], _Entry] = {}  # the last write of each row that waits
        self._taken = 0  # entries up to this number are being written, or were
        self._finished = 0  # written or poison: all that have left
        self._accepted = 0
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiters: list[_Waiter] = []
        self._written = 0
        self._retries = 0
        self._dropped: Counter[str] = Counter()
        self._poisoned: Counter[str] = Counter()
        self._named: set[str] = set()  # tables whose loss was said since the queue was last empty

    def write(self, statement: Statement, values: Values) -> None:
        """Have `values` written by `statement` within the interval. Never blocks; when full, drops and counts.

        The same statement for the same row takes the place of one that still waits: what is only refreshed does not
        fill the queue while the store is away.
        """
        table, row = _table(statement), row_key(values)
        key = (table, row)
        latest = self._latest.get(key) if row is not None else None
        if latest and latest.replaced_by(statement, values, self._taken):
            latest.values = values
            return
        if len(self._pending) >= MAX_PENDING:
            self._drop(table)
            return
        self._accepted += 1
        entry = _Entry(self._accepted, key, statement, values, time.monotonic())
        self._pending.append(entry)
        if row is not None:
            self._latest[key] = entry
        if len(self._pending) == 1:
            self._work.set()

    def _drop(self, table: str) -> None:
        self._dropped[table] += 1
        if table not in self._named:
            self._named.add(table)
            log.error("the store does not keep up: writes to %s are dropped", table)

    @property
    def pending(self) -> int:
        return len(self._pending)

    @property
    def statistics(self) -> WriteStatistics:
        oldest = self._pending[0].at if self._pending else None
        return WriteStatistics(
            pending=len(self._pending),
            written=self._written,
            dropped=dict(self._dropped),
            poisoned=dict(self._poisoned),
            retries=self._retries,
            oldest_s=time.monotonic() - oldest if oldest is not None else 0.0,
        )

    async def drain(self) -> None:
        """Return when everything written so far is committed (or was poison)."""
        if self._finished < self._accepted:
            waiter = _Waiter(self._accepted)
            self._waiters.append(waiter)
            self._hurry.set()
            await waiter.done

    async def run(self) -> None:
        """Commit what comes in, until cancelled."""
        while True:
            await self._work.wait()
            if not self._waiters:
                await self._pause(self._interval_s)
            self._hurry.clear()
            batch = list(islice(self._pending, MAX_BATCH))
            self._taken = batch[-1].number
            await self._batch([(entry.statement, entry.values) for entry in batch])
            if not self._pending:
                self._work.clear()
                self._named.clear()
            for waiter in [waiter for waiter in self._waiters if waiter.until <= self._finished]:
                self._waiters.remove(waiter)
                if not waiter.done.done():
                    waiter.done.set_result(None)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    async def _batch(self, writes: list[Write]) -> None:
        """Write `writes`; they leave the queue only when they are in the store, or can never be."""
        if await self._attempt(writes):
            self._leave(len(writes), written=len(writes))
            return
        for write in writes:  # one of them is poison: find it
            good = await self._attempt([write])
            if not good:
                self._poisoned[_table(write[0])] += 1
            self._leave(1, written=int(good))

    def _leave(self, count: int, *, written: int) -> None:
        for _ in range(count):
            entry = self._pending.popleft()
            if self._latest.get(entry.key) is entry:
                del self._latest[entry.key]
        self._finished += count
        self._written += written

    async def _attempt(self, writes: list[Write]) -> bool:
        """True when `writes` are committed, False when one of them never can be; waits for what passes."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._execute(runs(writes))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a row, the queue lives on
                if trouble_of(error) is None:
                    if len(writes) == 1:
                        table = _table(writes[0][0])
                        log.error(
                            "a row of %s (%s) cannot be written: %s", table, row_key(writes[0][1]), name_of(error)
                        )
                    return False
                self._retries += 1
                log.debug("the store is not available (%s): %d rows wait %g s", name_of(error), len(writes), pause)
            else:
                return True
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE_S)


def _table(statement: Statement) -> str:
    return cast(Table, statement.table).name
