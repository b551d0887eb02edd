"""Whose clock an account lives by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("timezone", sa.Text()))


def downgrade() -> None:
    with op.batch_alter_table("accounts") as table:
        table.drop_column("timezone")
