"""The store: opened and brought up to date, read from, written to at once or by the queue."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Self

from sqlalchemy import Delete, Executable, Insert, Row, Table, Update, column, inspect, select, table
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pbxd.store import statements
from pbxd.store.engine import make_engine, name_of, sqlite_url
from pbxd.store.queue import Run, Write, WriteQueue, WriteStatistics, runs_in_order
from pbxd.store.schema import REVISION

log = logging.getLogger(__name__)

INTERVAL_S = 0.2  # DESIGN rule 5
LAST_DRAIN_S = 5.0
_VERSION = table("alembic_version", column("version_num"))
__all__ = ["Store", "StoreError", "WriteStatistics", "sqlite_url"]


class StoreError(Exception):
    """The store cannot be opened, or a write that was waited for failed. The message holds no values."""


class Store:
    """One database. Reads and `commit` are awaited; `write` is for the call path and never waits.

    All writes go through one connection, so writers of this process never block each other in SQLite.
    """

    def __init__(self, engine: AsyncEngine, interval_s: float) -> None:
        self._engine = engine
        self._writer: AsyncConnection | None = None
        self._turn = asyncio.Lock()
        self._queue = WriteQueue(self._execute, interval_s)
        self.write = self._queue.write
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, *, interval_s: float = INTERVAL_S) -> Self:
        """Open the database at `url`, made or migrated if need be. Raises StoreError; also when it is newer than us."""
        try:
            store = cls(make_engine(url), interval_s)
        except (OSError, SQLAlchemyError, ImportError) as error:
            raise StoreError(f"the store cannot be opened: {error}") from error
        try:
            await store._update()
        except BaseException:
            await store._engine.dispose()
            raise
        store._task = asyncio.create_task(store._queue.run(), name="store-writer")
        return store

    async def _update(self) -> None:
        try:
            async with self._engine.connect() as connection:
                found = await connection.run_sync(_revision)
            if found == REVISION:
                return
            if found is not None and found > REVISION:
                raise StoreError(f"the store is at revision {found}, newer than this pbxd ({REVISION}): update pbxd")
            # Alembic costs 0.3 s of imports, which a daemon whose store is current need not pay at every start.
            migration = await asyncio.to_thread(importlib.import_module, "pbxd.store.migration")
            async with self._engine.connect() as connection:
                await connection.run_sync(migration.upgrade)
                await connection.commit()
        except SQLAlchemyError as error:
            raise StoreError(f"the store cannot be opened: {name_of(error)} (is it a pbxd database?)") from error
        log.info("the store was brought from revision %s to %s", found or "none", REVISION)

    # ---- reading

    async def rows(self, query: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """All rows of a SELECT. What `write` was told is seen after the next batch; `drain` waits for it."""
        async with self._engine.connect() as connection:
            return (await connection.execute(query, parameters)).all()

    # ---- writing

    async def commit(self, writes: Sequence[Write]) -> None:
        """Write at once, in this order, all or nothing. Raises StoreError."""
        try:
            await self._execute(runs_in_order(writes))
        except SQLAlchemyError as error:
            raise StoreError(f"a write failed: {name_of(error)}") from error

    async def drain(self) -> None:
        """Return when everything given to `write` so far is in the store."""
        await self._queue.drain()

    @property
    def statistics(self) -> WriteStatistics:
        return self._queue.statistics

    @property
    def pending(self) -> int:
        return self._queue.pending

    async def close(self) -> None:
        """Write what is pending (5 s at most) and close."""
        try:
            async with asyncio.timeout(LAST_DRAIN_S):
                await self.drain()
        except TimeoutError:
            log.error("the store was closed with %d rows unwritten", self.pending)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        await self._hang_up()
        await self._engine.dispose()

    async def _execute(self, parts: Sequence[Run]) -> None:
        """Write `parts` in one transaction."""
        async with self._turn:
            try:
                if self._writer is None:
                    self._writer = await self._engine.connect()
                async with self._writer.begin():
                    for part in parts:
                        await self._writer.execute(part.statement, part.rows)
            except BaseException:
                await self._hang_up()  # the next attempt starts from a clean connection
                raise

    async def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

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
