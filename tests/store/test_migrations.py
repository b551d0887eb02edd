"""The migrations lead to the schema the code uses, from nothing and in one piece."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from pbxd.store import migration
from pbxd.store.schema import METADATA, REVISION


def test_the_newest_migration_is_the_one_the_code_knows() -> None:
    script = ScriptDirectory(str(migration.MIGRATIONS))
    assert script.get_heads() == [REVISION]
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)


def test_the_migrations_make_exactly_the_schema(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/pbxd.db")
    with engine.connect() as connection:
        migration.upgrade(connection)
        connection.commit()
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_a_migration_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/pbxd.db")
    with engine.connect() as connection:
        migration.upgrade(connection)
        assert inspect(connection).has_table("accounts")
        connection.rollback()
        assert inspect(connection).get_table_names() == []
    engine.dispose()


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
    said = set(_folded(_statements(text.getvalue())))
    for table in METADATA.sorted_tables:
        wanted = str(CreateTable(table).compile(dialect=dialect))
        assert _normal(wanted) in said
        assert {_normal(str(CreateIndex(index).compile(dialect=dialect))) for index in table.indexes} <= said


def _folded(statements: list[str]) -> list[str]:
    """Columns that were added later among those of their table."""
    folded: list[str] = []
    for statement in statements:
        added = re.fullmatch(r"ALTER TABLE (\w+) ADD COLUMN (.+)", statement)
        if added is None:
            folded.append(statement)
            continue
        at = next(at for at, made in enumerate(folded) if f"CREATE TABLE {added[1]} (" in made.splitlines())
        folded[at] = _normal(folded[at] + "\n" + added[2])
    return folded


def _statements(text: str) -> list[str]:
    return [_normal(statement) for statement in text.split(";") if statement.strip()]


def _normal(statement: str) -> str:
    """Without regard to white space and the order of lines, one a column or constraint."""
    lines = [" ".join(line.split()).rstrip(", ") for line in statement.splitlines()]
    return "\n".join(sorted(filter(None, lines)))
