"""The tables of what an account has beside people and trunks: numbers, hours, groups, queues, limits; and who changed
what."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Table, Text, UniqueConstraint

from pbxd.store.columns import (
    METADATA,
    account_column,
    changing_columns,
    id_column,
    options_column,
    serial_column,
)


def _named(table: str, key: str = "name") -> Table:
    """A table whose rows have a name of their own in their account, and whose other fields are options."""
    return Table(
        table,
        METADATA,
        id_column(),
        account_column(),
        Column(key, Text, nullable=False),
        options_column(),
        *changing_columns(),
        UniqueConstraint("account_id", key),
    )


numbers = Table(
    "numbers",
    METADATA,
    serial_column(),
    Column("id", Text, nullable=False, unique=True),
    account_column(),
    Column("number", Text, nullable=False, unique=True),  # E.164 with its plus, of one account only
    options_column(),
    *changing_columns(),
    sqlite_autoincrement=True,
)

schedules = _named("schedules")
ring_groups = _named("ring_groups")
queues = _named("queues")
call_limits = _named("call_limits")
mailbox_rules = _named("mailbox_rules", "number")

audit = Table(
    "audit",
    METADATA,
    id_column(),
    account_column(strict=False),
    Column("at", Float, nullable=False),
    Column("by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("before", Text),  # JSON, secrets masked; null of what was made
    Column("after", Text),  # the same; null of what was removed
    Index(None, "account_id", "id"),
)
