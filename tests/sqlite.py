"""SQLite stores of tests: the first one in a process is migrated, the others are made as the migrations left that one.

Sixteen migrations for each of some hundred houses are most of what those cost. Stores of tests/store are all migrated.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from sqlalchemy.engine import Connection

Upgrade = Callable[..., None]
_MADE = (
    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type = 'index', rowid"
)
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


class FirstOnly:
    """Stands where the migrations do."""

    def __init__(self, truly: Upgrade) -> None:
        self._truly = truly
        self._statements: list[str] = []

    def __call__(self, connection: Connection, revision: str = "head") -> None:
        asked = os.environ.get("PYTEST_CURRENT_TEST", "")
        whole = connection.dialect.name == "sqlite" and revision == "head" and not asked.startswith("tests/store/")
        if not whole or connection.exec_driver_sql(_TABLES).first() is not None:
            self._truly(connection, revision)
        elif not self._statements:
            self._truly(connection, revision)
            self._statements = list(_left_by(connection))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            for statement in self._statements:
                connection.exec_driver_sql(statement)


def _left_by(connection: Connection) -> list[str]:
    """What makes such a store: its tables and indexes, and the one row that says how new it is."""
    tables = [row[0] for row in connection.exec_driver_sql(_TABLES)]
    filled = [name for name in tables if connection.exec_driver_sql(f'SELECT 1 FROM "{name}"').first() is not None]
    assert filled == ["alembic_version"], f"the migrations put rows into {filled}"
    (revision,) = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()
    made = list(connection.exec_driver_sql(_MADE).scalars())
    return [*made, f"INSERT INTO alembic_version (version_num) VALUES ('{revision}')"]
