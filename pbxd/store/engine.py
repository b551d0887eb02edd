"""The connection to the database: SQLite tuned for one writer and many readers, or whatever the URL names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_TIMEOUT_MS = 1_000  # in one go: short of what is called slow, and whoever wrote tries again or is told
CONNECT_TIMEOUT_S = 2.0  # to a server
ANSWER_TIMEOUT_S = 30.0  # of a server to one statement: after that the connection is dead, whatever TCP thinks
READERS = 4  # connections to a server, beside the one that writes
TURN_TIMEOUT_S = 3.0  # to get one of them
_OPTIONS = {"host", "port", "user", "password", "database", "ssl", "passfile"}  # of a URL, after its question mark


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


def parsed_url(url: str) -> URL:
    """The URL as our driver wants it: `postgres://` and `postgresql://` are asyncpg's, and so is libpq's `sslmode`.

    Raises ArgumentError.
    """
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+asyncpg")
    if parsed.drivername == "postgresql+asyncpg" and "sslmode" in parsed.query:
        query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
        parsed = parsed.set(query=query)
    return parsed


def make_engine(url: str) -> AsyncEngine:
    """An engine for `url`. A SQLite file is made with mode 0600 if it is missing; raises OSError, SQLAlchemyError."""
    parsed = parsed_url(url)
    if parsed.get_backend_name() != "sqlite":
        if unknown := _unknown_options(parsed):
            raise ArgumentError(f"its option {unknown[0]} is not among {', '.join(sorted(_OPTIONS))}")
        return create_async_engine(
            parsed,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=READERS + 1,
            max_overflow=0,
            pool_timeout=TURN_TIMEOUT_S,
            connect_args=_server_arguments(parsed),
        )
    if parsed.database:
        os.close(os.open(parsed.database, os.O_RDWR | os.O_CREAT, 0o600))  # WAL and shm files take over its mode
    engine = create_async_engine(parsed, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine.sync_engine, "connect", _tune)
    return engine


def reading(engine: AsyncEngine) -> AsyncEngine:
    """The same for single SELECTs: a server needs no transaction around one, which saves two of four round trips."""
    return engine.execution_options(isolation_level="AUTOCOMMIT") if engine.dialect.name == "postgresql" else engine


def _server_arguments(url: URL) -> dict[str, Any]:
    if url.drivername != "postgresql+asyncpg":
        return {}
    return {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": ANSWER_TIMEOUT_S,
        "server_settings": {"application_name": "pbxd", "timezone": "UTC"},
    }


def _unknown_options(url: URL) -> list[str]:
    """What the driver would refuse when it connects, or take for another type."""
    return sorted(set(url.query) - _OPTIONS) if url.drivername == "postgresql+asyncpg" else []


def url_problem(url: str) -> str | None:
    """What is wrong with a URL, without its password; None where a store could be there. Opens and makes nothing."""
    try:
        parsed = parsed_url(url)
        create_async_engine(parsed)
    except (SQLAlchemyError, ImportError) as error:
        return f"it names no database we can use: {str(error).splitlines()[0].replace(url, '…')}"
    if unknown := _unknown_options(parsed):
        return f"its option {unknown[0]} is not among {', '.join(sorted(_OPTIONS))}"
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
    cause = origin.__cause__  # what asyncpg raised, below what SQLAlchemy made of it
    if getattr(cause, "sqlstate", None):
        return type(cause).__name__
    return str(getattr(origin, "sqlite_errorname", type(origin).__name__))
