"""The tables, as SQLAlchemy models. Primary keys start with the session, so that rows can be partitioned by it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    and_,
    false,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, foreign, mapped_column, relationship
from sqlalchemy.sql.elements import conv


class Table(DeclarativeBase):
    """The base of every model: a rule names the constraints, so that a migration can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    # Every timestamp has a time zone.
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text()}  # noqa: RUF012 - SQLAlchemy's protocol


class InstallationRow(Table):
    """The one row that says which installation this is.

    `database` identifies the database that the id was given to; a copy of the database still names the original. It is
    null until a gateway or worker has seen the row, or when Postgres does not tell.
    """

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("is_only", name="one_row"),)

    is_only: Mapped[bool] = mapped_column(primary_key=True, server_default=true())
    id: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    database: Mapped[str | None]


class SessionRow(Table):
    """A session. Rows are never deleted; a closed one has `is_active` false."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_length"),
        CheckConstraint("max_users BETWEEN 1 AND 10000", name="max_users_range"),
        CheckConstraint("presence IN ('full', 'summary')", name="presence_known"),
        CheckConstraint("slow_consumers IN ('resync', 'disconnect')", name="slow_consumers_known"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime]
    max_users: Mapped[int] = mapped_column(Integer, server_default="6")
    is_active: Mapped[bool] = mapped_column(server_default=true())
    password_hash: Mapped[str | None]
    presence: Mapped[str] = mapped_column(server_default="full")
    spirit: Mapped[bool] = mapped_column(server_default=true())
    # What happens to a client that reads too slowly, and whether a user may be connected more than once.
    slow_consumers: Mapped[str] = mapped_column(server_default="resync")
    multiple_connections: Mapped[bool] = mapped_column(server_default=false())

    messages: Mapped[list["MessageRow"]] = relationship(
        back_populates="session", order_by="MessageRow.seq", lazy="raise"
    )
    users: Mapped[list["UserRow"]] = relationship(back_populates="session", lazy="raise")


class SessionMarkRow(Table):
    """How far a session had come when the worker last wrote one of its events. Redis must never fall behind this."""

    __tablename__ = "session_marks"

    session_id: Mapped[UUID] = mapped_column(ForeignKey(SessionRow.id), primary_key=True)
    epoch: Mapped[str]
    seq: Mapped[int] = mapped_column(BigInteger)


class UserRow(Table):
    """A user of one session.

    `joined_at` and `left_at` are the latest of each, by the clock of Redis; `left_at` is null while the user is there.
    `joined_at` is null when only the leave was seen, which a Redis that lost data can cause.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 50", name="name_length"),
        # Few users are removed; after a loss of Redis they are read for every session that Redis still holds.
        Index(conv("ix_users_removed"), "session_id", postgresql_where=text("is_removed")),
    )

    session_id: Mapped[UUID] = mapped_column(ForeignKey(SessionRow.id), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    joined_at: Mapped[datetime | None]
    left_at: Mapped[datetime | None]
    # The host removed this user, whose tokens no longer admit.
    is_removed: Mapped[bool] = mapped_column(server_default=false())

    session: Mapped[SessionRow] = relationship(back_populates="users", lazy="raise")
    messages: Mapped[list["MessageRow"]] = relationship(
        primaryjoin=lambda: and_(
            UserRow.session_id == foreign(MessageRow.session_id), UserRow.id == foreign(MessageRow.user_id)
        ),
        order_by="MessageRow.seq",
        back_populates="user",
        viewonly=True,
        lazy="raise",
    )


class MessageRow(Table):
    """A message at its place in its session. `user_id` is null when a server published it.

    `user_id` has no foreign key: a Redis that lost data can cost the row of a user, which must never cost a message.
    `text` has no longest length: the gateway bounds it, and a stricter table would lose what was already delivered.
    """

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("seq > 0", name="seq_positive"),
        CheckConstraint("char_length(user_name) BETWEEN 1 AND 50", name="user_name_length"),
        CheckConstraint("text <> ''", name="text_not_empty"),
    )

    session_id: Mapped[UUID] = mapped_column(ForeignKey(SessionRow.id), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[UUID]
    user_id: Mapped[UUID | None]
    user_name: Mapped[str]
    text: Mapped[str]
    timestamp: Mapped[datetime]
    is_spirit: Mapped[bool] = mapped_column(server_default=false())

    session: Mapped[SessionRow] = relationship(back_populates="messages", lazy="raise")
    user: Mapped[UserRow | None] = relationship(
        primaryjoin=lambda: and_(
            UserRow.session_id == foreign(MessageRow.session_id), UserRow.id == foreign(MessageRow.user_id)
        ),
        back_populates="messages",
        viewonly=True,
        lazy="raise",
    )


class RefusedMessageRow(Table):
    """A message that Postgres refused for good: clients that read the history are told of a gap.

    The row stays when an operator's retry stores the message after all; then the row means nothing. `session_id` has no
    foreign key: a missing session may be the very reason.
    """

    __tablename__ = "refused_messages"

    session_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class BanRow(Table):
    """A name or an address (`Ban.who`) that gets no new seat of the session until then; expired rows mean nothing."""

    __tablename__ = "bans"

    session_id: Mapped[UUID] = mapped_column(ForeignKey(SessionRow.id), primary_key=True)
    who: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


class RevocationRow(Table):
    """The token with this `jti`, or the tokens of this `sub` issued up to `revoked_at`, are refused until then."""

    __tablename__ = "revocations"
    __table_args__ = (CheckConstraint("claim IN ('jti', 'sub')", name="claim_known"),)

    claim: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    revoked_at: Mapped[datetime]
    expires_at: Mapped[datetime]
