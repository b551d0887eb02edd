"""The state of queues, their figures by day, and what they are in a call's record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "queue_states",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("saved_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue_states")),
    )
    op.create_table(
        "queue_days",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue_days")),
    )
    op.create_index(op.f("ix_queue_days_account_id"), "queue_days", ["account_id"])
    op.add_column("calls", sa.Column("queue", sa.Text()))
    op.add_column("calls", sa.Column("queue_exit", sa.Text()))
    op.add_column("calls", sa.Column("queue_wait_s", sa.Float()))
    op.add_column("calls", sa.Column("operator", sa.Text()))


def downgrade() -> None:
    with op.batch_alter_table("calls") as table:
        for name in ("operator", "queue_wait_s", "queue_exit", "queue"):
            table.drop_column(name)
    op.drop_index(op.f("ix_queue_days_account_id"), table_name="queue_days")
    op.drop_table("queue_days")
    op.drop_table("queue_states")
