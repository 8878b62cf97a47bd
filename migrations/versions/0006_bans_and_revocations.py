"""Bans of removed persons, and revoked tokens: Redis may lose both, and must get them back."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "bans",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "who", name=op.f("pk_bans")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_bans_session_id_sessions")),
    )
    op.create_table(
        "revocations",
        sa.Column("claim", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("claim", "value", name=op.f("pk_revocations")),
        sa.CheckConstraint("claim IN ('jti', 'sub')", name=op.f("ck_revocations_claim_known")),
    )


def downgrade() -> None:
    op.drop_table("revocations")
    op.drop_table("bans")
