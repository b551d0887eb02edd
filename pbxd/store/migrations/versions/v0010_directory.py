"""The directory of many accounts: numbers, hours, groups, queues, limits, rules of mailboxes, and who changed what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_REVISED = ("accounts", "users", "devices", "extensions", "trunks", "routes")
_WITH_OPTIONS = ("users", "devices", "trunks")
_NAMED = {
    "schedules": "name",
    "ring_groups": "name",
    "queues": "name",
    "call_limits": "name",
    "mailbox_rules": "number",
}


def upgrade() -> None:
    for table in _REVISED:
        op.add_column(table, sa.Column("revision", sa.Integer(), server_default="1", nullable=False))
        op.add_column(table, sa.Column("updated_at", sa.Float(), server_default="0", nullable=False))
        op.execute(f"UPDATE {table} SET updated_at = created_at")  # noqa: S608 - the names stand above
    for table in _WITH_OPTIONS:
        op.add_column(table, sa.Column("options", sa.Text(), server_default="{}", nullable=False))
    op.add_column("accounts", sa.Column("declared", sa.Boolean(), server_default=sa.false(), nullable=False))
    for column in ("domain", "ha1b_md5", "ha1b_sha256"):
        op.add_column("devices", sa.Column(column, sa.Text(), server_default="", nullable=False))
    op.drop_table("numbers")  # nobody ever wrote into it
    op.create_table(
        "numbers",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        *_common("numbers", "number"),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_numbers")),
        sa.UniqueConstraint("id", name=op.f("uq_numbers_id")),
        sa.UniqueConstraint("number", name=op.f("uq_numbers_number")),
        sqlite_autoincrement=True,
    )
    for table, key in _NAMED.items():
        op.create_table(
            table,
            sa.Column("id", sa.Text(), nullable=False),
            *_common(table, key),
            sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
            sa.UniqueConstraint("account_id", key, name=op.f(f"uq_{table}_account_id_{key}")),
        )
    op.create_table(
        "audit",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_account_id_id"), "audit", ["account_id", "id"])


def _common(table: str, key: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column(key, sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), server_default="{}", nullable=False),
        sa.Column("declared", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", sa.Float(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f(f"fk_{table}_account_id"), ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    for table in ("audit", *_NAMED, "numbers"):
        op.drop_table(table)
    op.create_table(
        "numbers",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("extension_id", sa.Text(), nullable=True),
        sa.Column("declared", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_numbers_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["extension_id"], ["extensions.id"], name=op.f("fk_numbers_extension_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_numbers")),
        sa.UniqueConstraint("id", name=op.f("uq_numbers_id")),
        sa.UniqueConstraint("number", name=op.f("uq_numbers_number")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_numbers_extension_id"), "numbers", ["extension_id"], unique=False)
    with op.batch_alter_table("devices") as devices:
        for column in ("domain", "ha1b_md5", "ha1b_sha256"):
            devices.drop_column(column)
    with op.batch_alter_table("accounts") as accounts:
        accounts.drop_column("declared")
    for table in _WITH_OPTIONS:
        with op.batch_alter_table(table) as changed:
            changed.drop_column("options")
    for table in _REVISED:
        with op.batch_alter_table(table) as changed:
            changed.drop_column("updated_at")
            changed.drop_column("revision")
