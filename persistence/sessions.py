"""Sessions in Postgres: create, get, close, and tell what Redis must not undo."""

import contextlib
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import BigInteger, Row, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker.secrecy import concealed
from broker.sessions.bans import Ban
from broker.sessions.recorded import Recorded
from persistence.errors import ConflictError, InvalidFieldError, mapped
from persistence.tables import BanRow, MessageRow, SessionMarkRow, SessionRow, UserRow

Presence = Literal["full", "summary"]
SlowConsumers = Literal["resync", "disconnect"]

MAX_NAME = 100
MAX_USERS = 10_000
DEFAULT_USERS = 6
# Above this number, announcing every join and leave to every user costs too much for its use.
FULL_PRESENCE_USERS = 100

Result = TypeVar("Result")

_COLUMNS = SessionRow.__table__.c


class SessionRecord(msgspec.Struct, frozen=True):
    """A session as stored; `created_at` is UTC, `password_hash` None when no password is needed."""

    id: str
    name: str
    created_at: datetime
    max_users: int
    is_active: bool
    password_hash: str | None
    presence: Presence
    spirit: bool
    slow_consumers: SlowConsumers
    multiple_connections: bool

    def __repr__(self) -> str:
        return concealed(self, "password_hash")


class StoredSessions:
    """Queries about sessions. Every method raises DatabaseUnavailableError when Postgres can't answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(
        self,
        *,
        name: str,
        max_users: int = DEFAULT_USERS,
        password_hash: str | None = None,
        presence: Presence | None = None,
        spirit: bool = True,
        slow_consumers: SlowConsumers = "resync",
        multiple_connections: bool = False,
        id: str | None = None,  # noqa: A002 - the field's name
    ) -> SessionRecord:
        """Store a new session and return it; with an `id` that exists, return the stored session and change nothing.

        The name is trimmed. `presence` defaults to `full` for up to 100 users, else `summary`. Raises
        InvalidFieldError.
        """
        values = {
            "id": uuid4() if id is None else _uuid(id),
            "name": _valid_name(name),
            "created_at": datetime.now(UTC),
            "max_users": _valid_max_users(max_users),
            "is_active": True,
            "password_hash": password_hash,
            "presence": presence or ("full" if max_users <= FULL_PRESENCE_USERS else "summary"),
            "spirit": spirit,
            "slow_consumers": slow_consumers,
            "multiple_connections": multiple_connections,
        }
        statement = insert(SessionRow).values(values).on_conflict_do_nothing(index_elements=[SessionRow.id])

        async def store(connection: AsyncConnection) -> Row[Any]:
            row = (await connection.execute(statement.returning(*_COLUMNS))).one_or_none()
            if row is None:
                row = (await connection.execute(select(*_COLUMNS).where(SessionRow.id == values["id"]))).one()
            return row

        return _record(await self._in_transaction(store))

    async def get(self, id: str) -> SessionRecord | None:  # noqa: A002 - the field's name
        """The session, or None when there is none with that id (or the id is no UUID)."""
        key = _uuid_or_none(id)
        if key is None:
            return None
        with mapped():
            async with self._engine.connect() as connection:
                row = (await connection.execute(select(*_COLUMNS).where(SessionRow.id == key))).one_or_none()
        return None if row is None else _record(row)

    async def close(self, id: str) -> SessionRecord | None:  # noqa: A002 - the field's name
        """Set `is_active` to false, repeatedly too; None when there is no such session."""
        key = _uuid_or_none(id)
        if key is None:
            return None
        statement = update(SessionRow).where(SessionRow.id == key).values(is_active=False).returning(*_COLUMNS)

        async def store(connection: AsyncConnection) -> Row[Any] | None:
            return (await connection.execute(statement)).one_or_none()

        row = await self._in_transaction(store)
        return None if row is None else _record(row)

    async def user_name(self, id: str, user_id: str) -> str | None:  # noqa: A002 - the field's name
        """The name under which this user was in the session last; None when the user never was, as far as is stored."""
        key, user_key = _uuid_or_none(id), _uuid_or_none(user_id)
        if key is None or user_key is None:
            return None
        found = select(UserRow.name).where(UserRow.session_id == key, UserRow.id == user_key)
        with mapped():
            async with self._engine.connect() as connection:
                return (await connection.execute(found)).scalar_one_or_none()

    async def is_removed(self, id: str, user_id: str) -> bool:  # noqa: A002 - the field's name
        """Whether the host removed this user, as far as is stored."""
        key, user_key = _uuid_or_none(id), _uuid_or_none(user_id)
        found = select(UserRow.id).where(UserRow.session_id == key, UserRow.id == user_key, UserRow.is_removed)
        with mapped():
            async with self._engine.connect() as connection:
                return (await connection.execute(found)).one_or_none() is not None

    async def recorded(self, ids: Collection[str]) -> list[Recorded]:
        """What Redis must not undo of each of these sessions; unknown sessions are left out."""
        keys = [key for id in ids if (key := _uuid_or_none(id)) is not None]  # noqa: A001 - the field's name
        with mapped():
            async with self._engine.connect() as connection:
                found = (await connection.execute(_RECORDED.where(SessionRow.id.in_(keys)))).all()
        return [
            Recorded(str(session_id), seq, is_active, tuple(sorted(map(str, removed))), tuple(map(_ban, bans)))
            for session_id, is_active, seq, removed, bans in found
        ]

    async def ban(self, id: str, bans: Collection[Ban]) -> None:  # noqa: A002 - the field's name
        """Keep bans of the session, so that Redis can get them back; forget the session's bans that are over."""
        key = _uuid(id)
        rows = [
            {"session_id": key, "who": ban.who, "expires_at": datetime.fromtimestamp(ban.expires_at, UTC)}
            for ban in bans
        ]
        added = insert(BanRow).values(rows)
        expires_at = func.greatest(BanRow.expires_at, added.excluded.expires_at)
        merged = added.on_conflict_do_update(
            index_elements=[BanRow.session_id, BanRow.who], set_={BanRow.expires_at: expires_at}
        )

        async def store(connection: AsyncConnection) -> None:
            await connection.execute(delete(BanRow).where(BanRow.session_id == key, BanRow.expires_at <= func.now()))
            await connection.execute(merged)

        await self._in_transaction(store)

    async def _in_transaction(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Do the work in a transaction, and once more when another transaction came in between."""
        with contextlib.suppress(ConflictError):
            return await self._once(work)
        return await self._once(work)

    async def _once(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        with mapped():
            async with self._engine.begin() as connection:
                return await work(connection)


# Joins and leaves have a seq too, so the mark may lie above every message; a session of an early version has no mark.
_RECORDED = select(
    SessionRow.id,
    SessionRow.is_active,
    func.greatest(
        select(func.max(MessageRow.seq)).where(MessageRow.session_id == SessionRow.id).scalar_subquery(),
        select(SessionMarkRow.seq).where(SessionMarkRow.session_id == SessionRow.id).scalar_subquery(),
        0,
    ),
    func.array(
        select(UserRow.id).where(UserRow.session_id == SessionRow.id, UserRow.is_removed).scalar_subquery(),
    ),
    func.array(
        select(func.concat(cast(func.extract("epoch", BanRow.expires_at), BigInteger), " ", BanRow.who))
        .where(BanRow.session_id == SessionRow.id, BanRow.expires_at > func.now())
        .scalar_subquery(),
    ),
)


def _valid_name(name: str) -> str:
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= MAX_NAME:
        raise InvalidFieldError("name", f"must have 1 to {MAX_NAME} characters after trimming")
    if "\0" in trimmed:
        raise InvalidFieldError("name", "must not contain NUL characters")
    return trimmed


def _valid_max_users(max_users: int) -> int:
    if not 1 <= max_users <= MAX_USERS:
        raise InvalidFieldError("max_users", f"must be 1 to {MAX_USERS}")
    return max_users


def _ban(text: str) -> Ban:
    """Read `<seconds since the epoch> <who>`."""
    expires_at, _, who = text.partition(" ")
    return Ban(who, float(expires_at))


def _uuid(text: str) -> UUID:
    key = _uuid_or_none(text)
    if key is None:
        raise InvalidFieldError("id", "must be a UUID")
    return key


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _record(row: Row[Any]) -> SessionRecord:
    return SessionRecord(
        id=str(row.id),
        name=row.name,
        created_at=row.created_at.astimezone(UTC),
        max_users=row.max_users,
        is_active=row.is_active,
        password_hash=row.password_hash,
        presence=row.presence,
        spirit=row.spirit,
        slow_consumers=row.slow_consumers,
        multiple_connections=row.multiple_connections,
    )
