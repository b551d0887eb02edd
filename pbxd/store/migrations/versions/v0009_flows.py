"""Versions of call flows; where a call ended in one, and the words it was tagged with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "flow_versions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flow_versions")),
    )
    op.create_index(op.f("ix_flow_versions_name"), "flow_versions", ["name"])
    op.add_column("calls", sa.Column("flow", sa.Text()))
    op.add_column("calls", sa.Column("tags", sa.Text()))


def downgrade() -> None:
    with op.batch_alter_table("calls") as table:
        table.drop_column("tags")
        table.drop_column("flow")
    op.drop_index(op.f("ix_flow_versions_name"), table_name="flow_versions")
    op.drop_table("flow_versions")
