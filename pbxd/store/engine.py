"""The connection to the database: SQLite tuned for one writer and many readers, or whatever the URL names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_TIMEOUT_MS = 1_000  # in one go: short of what is called slow, and whoever wrote tries again or is told


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


def url_problem(url: str) -> str | None:
    """What is wrong with a URL, without its password; None where a store could be there. Opens and makes nothing."""
    try:
        parsed = make_url(url)
        create_async_engine(parsed)
    except (SQLAlchemyError, ImportError) as error:
        return f"it names no database we can use: {str(error).splitlines()[0].replace(url, '…')}"
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        place = Path(parsed.database).parent
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            return f"the folder {place} is not there, or not ours to write to"
    return None


def _tune(connection: Any, _record: object) -> None:
    """WAL lets readers and the writer pass each other; NORMAL may lose the last batch when the power fails, never the
    file (and nothing at all when only the process dies)."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def name_of(error: Exception) -> str:
    """What an error is called, without the values that were part of it."""
    origin = getattr(error, "orig", None) or error
    return str(getattr(origin, "sqlite_errorname", type(origin).__name__))
