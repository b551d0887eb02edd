"""What tables are made of: the metadata they belong to, and the columns that many of them have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Integer, MetaData, Text, false

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[str]:
    return Column("id", Text, primary_key=True)


def serial_column() -> Column[int]:
    """The integer by which the console names a row."""
    return Column(
        "serial", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True, nullable=False
    )


def account_column(*, strict: bool = True) -> Column[str]:
    if strict:
        return Column("account_id", Text, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False)
    return Column("account_id", Text, nullable=False)


def declared_column() -> Column[bool]:
    """True while the configuration file declares the row: the file is its truth."""
    return Column("declared", Boolean, nullable=False, server_default=false())


def options_column() -> Column[str]:
    """What nobody looks for by itself, as JSON: the model of its kind reads it."""
    return Column("options", Text, nullable=False, server_default="{}")


def changing_columns() -> tuple[Column[Any], ...]:
    """Of a row that people change: whether the file declares it, its revision (one more with each change: who changes a
    row says which one they saw), when it was changed, and made."""
    return (
        declared_column(),
        Column("revision", Integer, nullable=False, server_default="1"),
        Column("updated_at", Float, nullable=False, server_default="0"),
        Column("created_at", Float, nullable=False),
    )
