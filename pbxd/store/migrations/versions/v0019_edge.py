"""Default carriers of accounts, the device of a registration, and calls on nodes of the edge that outlive a restart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("carrier", sa.Text()))
    op.add_column("bindings", sa.Column("device", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "edge_calls",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("touched_at", sa.Float(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edge_calls")),
    )


def downgrade() -> None:
    op.drop_table("edge_calls")
    with op.batch_alter_table("bindings") as table:
        table.drop_column("device")
    with op.batch_alter_table("accounts") as table:
        table.drop_column("carrier")
