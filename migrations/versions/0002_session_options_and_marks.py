"""Options of a session, and the marks: how far the worker has written each session."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("slow_consumers", sa.Text(), server_default="resync", nullable=False))
    op.add_column(
        "sessions", sa.Column("multiple_connections", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_sessions_slow_consumers_known"), "sessions", "slow_consumers IN ('resync', 'disconnect')"
    )
    op.create_table(
        "session_marks",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_session_marks")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_session_marks_session_id_sessions")),
    )


def downgrade() -> None:
    op.drop_table("session_marks")
    op.drop_constraint(op.f("ck_sessions_slow_consumers_known"), "sessions")
    op.drop_column("sessions", "multiple_connections")
    op.drop_column("sessions", "slow_consumers")
