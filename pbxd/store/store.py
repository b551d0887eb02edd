"""The store: opened and brought up to date, read from, written to at once or by the queue."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from sqlalchemy import Delete, Executable, Insert, Row, Table, Update, column, inspect, select, table
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pbxd.store import statements
from pbxd.store.engine import make_engine, name_of, reading, sqlite_url
from pbxd.store.queue import Run, Values, Write, WriteQueue, WriteStatistics, runs_in_order
from pbxd.store.schema import REVISION
from pbxd.store.trouble import IN_WORDS, Condition, StoreError, Trouble, sqlstate_of, trouble_of

log = logging.getLogger(__name__)

INTERVAL_S = 0.2  # DESIGN rule 5
LAST_DRAIN_S = 5.0
LAST_CLOSE_S = 2.0
PATIENCE_S = 3.0  # for one read or write that somebody waits for
_NO_TEXT = "22021"  # a NUL was asked for in PostgreSQL's text, where none can be
_VERSION = table("alembic_version", column("version_num"))
__all__ = ["Store", "StoreError", "Trouble", "WriteStatistics", "sqlite_url"]

Found = TypeVar("Found")


@dataclass(slots=True)
class _Wish:
    """A write that somebody waits for, as long as they do."""

    wanted: bool = True


class _GivenUp(Exception):
    """Rolls back what nobody waits for any more."""


_FAILURES = (SQLAlchemyError, sqlite3.Error, OSError)


class Store:
    """One database. Reads and `commit` are awaited; `write` is for the call path and never waits.

    All writes go through one connection, so writers of this process never block each other in SQLite. Whoever waits for
    the store waits `PATIENCE_S` at most; the queue waits as long as it takes.
    """

    def __init__(self, engine: AsyncEngine, interval_s: float) -> None:
        self._engine = engine
        self._readers = reading(engine)
        self._writer: AsyncConnection | None = None
        self._turn = asyncio.Lock()
        self._queue = WriteQueue(self._execute, interval_s)
        self.write = self._queue.write
        self._task: asyncio.Task[None] | None = None
        self._condition = Condition()
        self._under_way: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str, *, interval_s: float = INTERVAL_S) -> Self:
        """Open the database at `url`, made or migrated if need be. Raises StoreError; also when it is newer than us."""
        try:
            store = cls(make_engine(url), interval_s)
        except (OSError, SQLAlchemyError, ImportError) as error:
            raise StoreError(f"the store cannot be opened: {error}", trouble_of(error)) from error
        try:
            await store._update()
        except BaseException:
            await store._engine.dispose()
            raise
        store._task = asyncio.create_task(store._queue.run(), name="store-writer")
        return store

    async def _update(self) -> None:
        try:
            async with contextlib.aclosing(await self._connected()) as connection:
                found = await connection.run_sync(_revision)
            if found == REVISION:
                return
            if found is not None and found > REVISION:
                raise StoreError(f"the store is at revision {found}, newer than this pbxd ({REVISION}): update pbxd")
            # Alembic costs 0.3 s of imports, which a daemon whose store is current need not pay at every start.
            migration = await asyncio.to_thread(importlib.import_module, "pbxd.store.migration")
            async with contextlib.aclosing(await self._connected()) as connection:
                await connection.run_sync(migration.upgrade)
                await connection.commit()
        except _FAILURES as error:
            trouble = trouble_of(error)
            why = IN_WORDS[trouble] if trouble else "is it a pbxd database?"
            raise StoreError(f"the store cannot be opened: {why} ({name_of(error)})", trouble) from error
        log.info("the store was brought from revision %s to %s", found or "none", REVISION)

    # ---- reading

    async def rows(self, query: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """All rows of a SELECT. What `write` was told is seen after the next batch; `drain` waits for it.

        Raises StoreError.
        """
        return await self._in_time(self._read(query, parameters), "read")

    async def _read(self, query: Executable, parameters: Mapping[str, Any] | None) -> Sequence[Row[Any]]:
        async with contextlib.aclosing(await self._connected(self._readers)) as connection:
            try:
                return (await connection.execute(query, parameters)).all()
            except DBAPIError as error:
                if sqlstate_of(error) == _NO_TEXT:
                    return ()
                raise

    async def _connected(self, engine: AsyncEngine | None = None) -> AsyncConnection:
        """A connection. A server that does not take one in time is away, not slow."""
        try:
            return await (engine or self._engine).connect()
        except TimeoutError as error:
            raise ConnectionError(errno.ETIMEDOUT, "no connection in time") from error

    # ---- writing

    async def commit(self, writes: Sequence[Write]) -> None:
        """Write at once, in this order, all or nothing. Raises StoreError; only where the disk was in the middle of the
        commit itself are the rows there all the same."""
        wish = _Wish()
        try:
            await self._in_time(self._execute(runs_in_order(writes), wish), "written")
        finally:
            wish.wanted = False

    async def _in_time(self, work: Coroutine[Any, Any, Found], what: str) -> Found:
        """What `work` gives. What takes longer than `PATIENCE_S` is left to itself, for its thread may be deep in the
        disk, and a driver that is cancelled there may never come back. Raises StoreError."""
        task = asyncio.create_task(work, name=f"store-{what}")
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=PATIENCE_S)
        if not task.done():
            self._condition.look()
            trouble = self._condition.trouble or Trouble.SLOW
            raise StoreError(f"the store was not ready in {PATIENCE_S:g} s: {IN_WORDS[trouble]}", trouble)
        try:
            return task.result()
        except _FAILURES as error:
            found = trouble_of(error)
            why = f"{name_of(error)}, {IN_WORDS[found]}" if found else name_of(error)
            raise StoreError(f"the store cannot be {what}: {why}", found) from error

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # who waited has heard it, or no longer waits

    async def drain(self) -> None:
        """Return when everything given to `write` so far is in the store."""
        await self._queue.drain()

    @property
    def statistics(self) -> WriteStatistics:
        return self._queue.statistics

    @property
    def pending(self) -> int:
        return self._queue.pending

    @property
    def trouble(self) -> Trouble | None:
        """Why writes do not get through just now; None while they do. A write that does ends it."""
        return self._condition.trouble

    @property
    def troubles(self) -> Counter[Trouble]:
        """How often there was trouble, by name."""
        return self._condition.episodes

    def look(self) -> None:
        """Notice a write that does not come back; due every second or so."""
        self._condition.look()

    async def close(self) -> None:
        """Write what is pending (5 s at most) and close."""
        try:
            async with asyncio.timeout(LAST_DRAIN_S):
                await self.drain()
        except TimeoutError:
            log.error("the store was closed with %d rows unwritten", self.pending)
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_CLOSE_S), self._turn:
                    self._task.cancel()  # between two writes
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self._hang_up()
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=LAST_CLOSE_S)
        await self._engine.dispose()

    async def _execute(self, parts: Sequence[Run], wish: _Wish | None = None) -> None:
        """Write `parts` in one transaction; not where nobody waits for the `wish` any more."""
        async with self._turn:
            if wish is not None and not wish.wanted:
                return
            self._condition.begin()
            try:
                if self._writer is None:
                    self._writer = await self._connected()
                async with self._writer.begin():
                    for part in parts:
                        await self._writer.execute(part.statement, self._storable(part.rows))
                    if wish is not None and not wish.wanted:
                        raise _GivenUp
            except BaseException as error:
                self._condition.fail(trouble_of(error))
                self._hang_up()  # the next attempt starts from a clean connection
                raise
            self._condition.succeed()

    def _storable(self, rows: list[Values]) -> list[Values]:
        """The rows as the database can hold them: PostgreSQL's text has no NUL."""
        if self._engine.dialect.name != "postgresql":
            return rows
        return [
            {name: value.replace("\0", "\ufffd") if isinstance(value, str) else value for name, value in row.items()}
            for row in rows
        ]

    def _hang_up(self) -> None:
        """Let go of the writing connection. Nobody waits for that, for its thread may still be in the disk."""
        writer, self._writer = self._writer, None
        if writer is not None:
            task = asyncio.create_task(writer.close(), name="store-hang-up")
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    # ---- statements, one object for each table, so that the queue can group

    def upsert(self, table: Table) -> Insert:
        """Insert a whole row (every column but `serial`), or replace the row of that `id` (of that `key` in `meta`)."""
        return statements.upsert(table, self._engine.dialect.name)

    def update_by_id(self, table: Table, *columns: str) -> Update:
        """Set `columns` of the row whose id is the parameter `key`."""
        return statements.update_by_id(table, columns)

    def delete_by_id(self, table: Table) -> Delete:
        """Remove the row whose id is the parameter `key`."""
        return statements.delete_by_id(table)


def _revision(connection: Connection) -> str | None:
    """The revision the database is at; None when it holds nothing of ours."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    found = connection.scalar(select(_VERSION.c.version_num))
    return None if found is None else str(found)
