"""What is usual of calls abroad, and who is blocked from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fraud_habits",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("countries", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("minutes", sa.Float(), nullable=False),
        sa.Column("seen_calls", sa.Integer(), nullable=False),
        sa.Column("seen_minutes", sa.Float(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fraud_habits")),
        sa.UniqueConstraint("account_id", "caller", name=op.f("uq_fraud_habits_account_id_caller")),
    )
    op.create_table(
        "fraud_blocks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fraud_blocks")),
    )
    op.create_index(op.f("ix_fraud_blocks_ended_at"), "fraud_blocks", ["ended_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_fraud_blocks_ended_at"), table_name="fraud_blocks")
    op.drop_table("fraud_blocks")
    op.drop_table("fraud_habits")
