"""The three statements nearly every write is, made once for each table: the queue groups writes by statement."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Delete, Insert, Table, Update, bindparam, delete, update
from sqlalchemy.dialects import postgresql, sqlite


@cache
def upsert(table: Table, dialect: str) -> Insert:
    """Insert a whole row (every column but `serial`), or replace the row of that `id` (of that `key` in `meta`)."""
    name = "id" if "id" in table.c else "key"
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    changes = {column.name: insert.excluded[column.name] for column in table.c if column.name not in (name, "serial")}
    return insert.on_conflict_do_update(index_elements=[table.c[name]], set_=changes)


@cache
def update_by_id(table: Table, columns: tuple[str, ...]) -> Update:
    """Set `columns` of the row whose id is the parameter `key`."""
    return update(table).where(table.c.id == bindparam("key")).values({name: bindparam(name) for name in columns})


@cache
def delete_by_id(table: Table) -> Delete:
    """Remove the row whose id is the parameter `key`."""
    return delete(table).where(table.c.id == bindparam("key"))
