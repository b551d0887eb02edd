"""The migrations lead to the schema the code uses, from nothing and in one piece."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateIndex, CreateTable

from pbxd.store import Store, migration, sqlite_url
from pbxd.store.engine import make_engine
from pbxd.store.schema import METADATA, REVISION, calls, extensions
from tests.postgresql import Databases

FIRST_ROWS = (
    "INSERT INTO accounts (id, slug, name, realm, created_at) VALUES ('acc_1', 'lab', 'Lab', 'lab', 1)",
    "INSERT INTO extensions (id, account_id, number, kind, created_at) VALUES ('ext_1', 'acc_1', '600', 'echo', 1)",
    """
    INSERT INTO calls (id, account_id, node, direction, caller, caller_name, called, started_at)
    VALUES ('call_1', 'acc_1', 'here', 'internal', '1001', '', '600', 1)
    """,
)


def test_the_newest_migration_is_the_one_the_code_knows() -> None:
    script = ScriptDirectory(str(migration.MIGRATIONS))
    assert script.get_heads() == [REVISION]
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)


@pytest.fixture
def empty_server(postgresql: Databases) -> str:
    """Of a database on a server, with nothing in it."""
    return postgresql.empty()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database with nothing in it."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "pbxd.db")
    return str(request.getfixturevalue("empty_server"))


@pytest.fixture
async def engine(empty_url: str) -> AsyncIterator[AsyncEngine]:
    made = make_engine(empty_url)
    yield made
    await made.dispose()


async def test_the_migrations_make_exactly_the_schema(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[Any]:
        migration.upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, METADATA))

    async with engine.begin() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_migration_that_is_interrupted_leaves_nothing(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.run_sync(migration.upgrade)
        assert await connection.run_sync(lambda one: inspect(one).has_table("accounts"))
        await connection.rollback()
        assert await connection.run_sync(lambda one: inspect(one).get_table_names()) == []


async def test_a_store_of_the_first_revision_becomes_one_of_today(engine: AsyncEngine, empty_url: str) -> None:
    """With rows in it: a column that is added to a table that is not empty needs a default."""
    async with engine.begin() as connection:
        await connection.run_sync(lambda one: migration.upgrade(one, "0001"))
        for statement in FIRST_ROWS:
            await connection.exec_driver_sql(statement)
    store = await Store.open(empty_url)
    assert [(row.serial, row.id, row.flow) for row in await store.rows(select(calls))] == [(1, "call_1", None)]
    assert [(row.number, row.options) for row in await store.rows(select(extensions))] == [("600", "{}")]
    await store.close()


async def test_houses_that_share_a_new_store_and_start_together_all_start(empty_server: str) -> None:
    stores = await asyncio.gather(*(Store.open(empty_server) for _ in range(4)))
    assert not await stores[3].rows(select(calls))
    await asyncio.gather(*(store.close() for store in stores))


def test_opening_a_current_store_does_not_import_alembic(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from pbxd.store import Store, sqlite_url\n"
        "async def main():\n"
        "    store = await Store.open(sqlite_url(sys.argv[1]))\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
        "print('alembic' in sys.modules)\n"
    )
    root = Path(__file__).parent.parent.parent
    answers = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "pbxd.db")],
            check=True,
            capture_output=True,
            text=True,
            cwd=root,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert answers == ["True", "False"]


def test_the_migrations_speak_postgresql() -> None:
    """What they would say there, compared with what the schema says; a default of another type shows only there."""
    text = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": text, "target_metadata": METADATA}
    )
    with Operations.context(context):
        for revision in reversed(list(ScriptDirectory(str(migration.MIGRATIONS)).walk_revisions())):
            revision.module.upgrade()
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    said = set(_with_added_columns(_statements(text.getvalue())))
    for table in METADATA.sorted_tables:
        wanted = str(CreateTable(table).compile(dialect=dialect))
        assert _normal(wanted) in said
        assert {_normal(str(CreateIndex(index).compile(dialect=dialect))) for index in table.indexes} <= said


def _statements(text: str) -> list[str]:
    return [_normal(statement) for statement in text.split(";") if statement.strip()]


def _with_added_columns(statements: list[str]) -> list[str]:
    """Tables as they are after columns were added to them: each as if it had been created with them."""
    made = list(statements)
    for statement in statements:
        if found := re.fullmatch(r"ALTER TABLE (\w+) ADD COLUMN (.+)", statement):
            table, column = found.groups()
            at = next(i for i, one in enumerate(made) if f"CREATE TABLE {table} (" in one.splitlines())
            made[at] = "\n".join(sorted([*made[at].splitlines(), column]))
    return made


def _normal(statement: str) -> str:
    """Without regard to white space and the order of lines, one a column or constraint."""
    lines = [" ".join(line.split()).rstrip(", ") for line in statement.splitlines()]
    return "\n".join(sorted(filter(None, lines)))
