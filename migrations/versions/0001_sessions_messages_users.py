"""Sessions, their users and their messages."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("max_users", sa.Integer(), server_default="6", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("presence", sa.Text(), server_default="full", nullable=False),
        sa.Column("spirit", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name=op.f("ck_sessions_name_length")),
        sa.CheckConstraint("max_users BETWEEN 1 AND 10000", name=op.f("ck_sessions_max_users_range")),
        sa.CheckConstraint("presence IN ('full', 'summary')", name=op.f("ck_sessions_presence_known")),
    )
    op.create_table(
        "users",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_removed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "id", name=op.f("pk_users")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_users_session_id_sessions")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 50", name=op.f("ck_users_name_length")),
    )
    op.create_table(
        "messages",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_spirit", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "seq", name=op.f("pk_messages")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_messages_session_id_sessions")),
        sa.CheckConstraint("seq > 0", name=op.f("ck_messages_seq_positive")),
        sa.CheckConstraint("char_length(user_name) BETWEEN 1 AND 50", name=op.f("ck_messages_user_name_length")),
        sa.CheckConstraint("text <> ''", name=op.f("ck_messages_text_not_empty")),
    )


def downgrade() -> None:
    op.drop_table("messages")
    op.drop_table("users")
    op.drop_table("sessions")
