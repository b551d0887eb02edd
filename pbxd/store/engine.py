"""The connection to the database: SQLite tuned for one writer and many readers, or whatever the URL names."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_TIMEOUT_MS = 5_000
# What passes: another writer, a full or ailing disk. The low byte of an extended code is the primary one.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


def make_engine(url: str) -> AsyncEngine:
    """An engine for `url`. A SQLite file is made with mode 0600 if it is missing; raises OSError, SQLAlchemyError."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_async_engine(parsed, hide_parameters=True, pool_pre_ping=True, pool_size=4)
    if parsed.database:
        os.close(os.open(parsed.database, os.O_RDWR | os.O_CREAT, 0o600))  # WAL and shm files take over its mode
    engine = create_async_engine(parsed, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine.sync_engine, "connect", _tune)
    return engine


def _tune(connection: Any, _record: object) -> None:
    """WAL lets readers and the writer pass each other; NORMAL may lose the last batch when the power fails, never the
    file (and nothing at all when only the process dies)."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def is_passing(error: Exception) -> bool:
    """Whether the same write may succeed later: the database is busy, full or away, and the row is not at fault."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError)
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return int(code) & 0xFF in _PASSING
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def name_of(error: Exception) -> str:
    """What an error is called, without the values that were part of it."""
    origin = getattr(error, "orig", None) or error
    return str(getattr(origin, "sqlite_errorname", type(origin).__name__))
