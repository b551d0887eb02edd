"""What a message says, in words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("transcript", sa.Text()))


def downgrade() -> None:
    with op.batch_alter_table("messages") as table:
        table.drop_column("transcript")
