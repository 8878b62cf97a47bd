"""An index of removed users, which are compared with Redis for every session after Redis has lost data."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        op.f("ix_users_removed"), "users", ["session_id"], unique=False, postgresql_where=sa.text("is_removed")
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_users_removed"), table_name="users", postgresql_where=sa.text("is_removed"))
