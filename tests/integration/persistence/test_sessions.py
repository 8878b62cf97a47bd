"""Sessions in a real Postgres: create, get, close, resume point, and an outage."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import selectinload

from broker.sessions.bans import Ban
from broker.sessions.recorded import Recorded
from cluster.process.ports import free_port
from persistence.engine import create_engine
from persistence.errors import DatabaseUnavailableError, DataError, InvalidFieldError, NotMigratedError, mapped
from persistence.messages import Messages
from persistence.rows import Record
from persistence.sessions import _RECORDED, StoredSessions
from persistence.tables import MessageRow, SessionRow, UserRow
from persistence.writer import Writer
from tests.stream_fixtures import add_sessions, joined, left, message


@pytest.fixture
def sessions(engine: AsyncEngine) -> StoredSessions:
    """The queries about sessions."""
    return StoredSessions(engine)


async def test_a_session_is_created_with_defaults(sessions: StoredSessions) -> None:
    """A new session gets a random UUID, the moment in UTC, six seats, full presence, a spirit and no password."""
    before = datetime.now(UTC)
    record = await sessions.create(name="  Tuesday  ")
    assert UUID(record.id).version == 4
    assert record.name == "Tuesday"
    assert before <= record.created_at <= datetime.now(UTC)
    assert record.created_at.utcoffset() == timedelta(0)
    assert (record.max_users, record.is_active, record.password_hash) == (6, True, None)
    assert (record.presence, record.spirit) == ("full", True)
    assert (record.slow_consumers, record.multiple_connections) == ("resync", False)
    assert await sessions.get(record.id) == record


async def test_a_session_keeps_what_was_asked_for(sessions: StoredSessions) -> None:
    """Every field that is given is stored as given."""
    wanted = str(uuid4())
    record = await sessions.create(
        name="Ünïcode 😀",
        max_users=10_000,
        password_hash="$argon2id$",
        presence="full",
        spirit=False,
        slow_consumers="disconnect",
        multiple_connections=True,
        id=wanted,
    )
    found = await sessions.get(wanted)
    assert found == record
    assert (record.id, record.name, record.max_users) == (wanted, "Ünïcode 😀", 10_000)
    assert (record.password_hash, record.presence, record.spirit) == ("$argon2id$", "full", False)
    assert (record.slow_consumers, record.multiple_connections) == ("disconnect", True)


@pytest.mark.parametrize(("max_users", "presence"), [(1, "full"), (100, "full"), (101, "summary"), (10_000, "summary")])
async def test_presence_follows_the_size(sessions: StoredSessions, max_users: int, presence: str) -> None:
    """Up to 100 users presence is full, beyond that a summary, unless it was asked for."""
    assert (await sessions.create(name="a", max_users=max_users)).presence == presence


async def test_creating_with_a_known_id_returns_what_is_stored(sessions: StoredSessions) -> None:
    """A repeated creation, even at the same moment, makes one session and gives the first one to everybody."""
    wanted = str(uuid4())
    records = await asyncio.gather(*(sessions.create(name=f"name {i}", id=wanted) for i in range(4)))
    again = await sessions.create(name="other", max_users=3, id=wanted)
    assert {record.name for record in [*records, again]} == {again.name}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "  \t\n"}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "a", "max_users": 0}, "max_users"),
        ({"name": "a", "max_users": 10_001}, "max_users"),
        ({"name": "a", "id": "no uuid"}, "id"),
    ],
    ids=str,
)
async def test_a_wrong_value_is_refused_by_the_name_of_its_field(
    sessions: StoredSessions, wrong: dict[str, Any], field: str
) -> None:
    """A value out of range is refused before Postgres sees it, and the error names the field."""
    with pytest.raises(InvalidFieldError) as caught:
        await sessions.create(**wrong)
    assert caught.value.field == field


async def test_a_closed_session_stays_and_is_inactive(sessions: StoredSessions) -> None:
    """Closing changes only `is_active`, and may be repeated."""
    record = await sessions.create(name="a")
    closed = await sessions.close(record.id)
    assert closed is not None
    assert not closed.is_active
    assert await sessions.close(record.id) == closed == await sessions.get(record.id)


@pytest.mark.parametrize("unknown", ["9d1f4e0e-8f0c-4a43-9c5b-0d8e3b8a6d11", "no uuid", ""])
async def test_an_unknown_session_is_none(sessions: StoredSessions, unknown: str) -> None:
    """A session that does not exist is None to ask for and to close, and has nothing to resume."""
    assert await sessions.get(unknown) is None
    assert await sessions.close(unknown) is None
    assert await sessions.recorded([unknown]) == []


@pytest.fixture(params=["40001", "40P01"])
async def conflict(request: pytest.FixtureRequest, engine: AsyncEngine) -> AsyncIterator[None]:
    """Postgres answers the first write to `sessions` as if another transaction had come in between."""
    refuse_once = (
        "CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('attempts') = 1 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '{request.param}'; END IF;"
        " RETURN new; END $$"
    )
    trigger = (
        "CREATE TRIGGER refuse_once BEFORE INSERT OR UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION refuse_once()"
    )
    async with engine.begin() as connection:
        for statement in ("CREATE SEQUENCE attempts", refuse_once, trigger):
            await connection.execute(text(statement))
    yield
    async with engine.begin() as connection:
        await connection.execute(text("DROP TRIGGER refuse_once ON sessions"))
        await connection.execute(text("DROP FUNCTION refuse_once"))
        await connection.execute(text("DROP SEQUENCE attempts"))


@pytest.mark.usefixtures("conflict")
async def test_a_creation_that_met_another_transaction_is_repeated(sessions: StoredSessions) -> None:
    """Nobody has to repeat a request because of a deadlock or a serialization failure, which Postgres undid."""
    record = await sessions.create(name="Tuesday")
    assert await sessions.get(record.id) == record


async def test_few_removed_users_are_found_among_many_by_an_index(
    engine: AsyncEngine, sessions: StoredSessions
) -> None:
    """After a loss of Redis this is asked for every session: reading all users would be the largest part of it."""
    session = await sessions.create(name="Tuesday")
    users = (
        "INSERT INTO users (session_id, id, name, is_removed)"
        " SELECT :id, gen_random_uuid(), 'Ana', number = 1 FROM generate_series(1, 1000) AS number"
    )
    question = str(_RECORDED.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True}))
    async with engine.begin() as connection:
        await connection.execute(text(users), {"id": session.id})
        await connection.execute(text("ANALYZE users"))
        plan = "\n".join((await connection.execute(text(f"EXPLAIN {question}"))).scalars())
    assert "ix_users_removed" in plan


async def test_highest_seq_closing_and_removals_are_recorded(engine: AsyncEngine, sessions: StoredSessions) -> None:
    """Of each session Postgres tells the highest seq, whether it is open, and whom the host removed."""
    first, second = await add_sessions(engine, 2)
    ana, bob = str(uuid4()), str(uuid4())
    await Writer(engine).write(
        [
            Record(first, message(first, 3)),
            Record(first, message(first, 41)),
            Record(second, message(second, 99)),
            Record(first, joined(ana, "Ana")),
            Record(first, left(bob, "Bob", reason="removed")),
            Record(second, left(ana, "Ana", reason="removed")),
        ]
    )
    await sessions.close(second)
    new = (await sessions.create(name="new")).id
    assert {found.session_id: found for found in await sessions.recorded([first, second, new])} == {
        first: Recorded(first, 41, is_active=True, removed_user_ids=(bob,)),
        second: Recorded(second, 99, is_active=False, removed_user_ids=(ana,)),
        new: Recorded(new, 0, is_active=True),
    }
    removed = [await sessions.is_removed(one, who) for one in (first, second) for who in (ana, bob, "no UUID")]
    assert removed == [False, True, False, True, False, False]


async def test_bans_in_force_are_recorded(engine: AsyncEngine, sessions: StoredSessions) -> None:
    """Of each session Postgres tells the bans that are not over; of two for the same person the longer one counts."""
    first, second = await add_sessions(engine, 2)
    now = int(time.time())
    hour, day = Ban("name ana maria", now + 3600), Ban("address x", now + 86_400)
    await sessions.ban(first, [hour, day, Ban("name over", now - 10)])
    await sessions.ban(first, [Ban("address x", now + 60)])
    [one, other] = await sessions.recorded([first, second])
    assert {found.session_id: set(found.bans) for found in (one, other)} == {first: {hour, day}, second: set()}
    async with engine.connect() as connection:
        kept = (await connection.execute(text("SELECT who FROM bans ORDER BY who"))).scalars().all()
    assert kept == ["address x", "name ana maria"]


async def test_who_was_in_a_session_is_known_by_name(engine: AsyncEngine, sessions: StoredSessions) -> None:
    """A user of the session has a name, present or gone; a user of another session, or of none, has none."""
    first, second = await add_sessions(engine, 2)
    ana, bob = str(uuid4()), str(uuid4())
    await Writer(engine).write([Record(first, joined(ana, "Ana")), Record(first, left(bob, "Bob"))])
    names = [await sessions.user_name(first, user) for user in (ana, bob, str(uuid4()), "no UUID")]
    assert names == ["Ana", "Bob", None, None]
    assert await sessions.user_name(second, ana) is None


async def test_the_models_are_related(engine: AsyncEngine) -> None:
    """From a session its messages in order and its users are reached, and from a message its author."""
    (session_id,) = await add_sessions(engine, 1)
    ana = str(uuid4())
    await Writer(engine).write(
        [
            Record(session_id, message(session_id, 2, user_id=ana)),
            Record(session_id, message(session_id, 1, user_id=str(uuid4()))),
            Record(session_id, joined(ana, "Ana")),
        ]
    )
    query = select(SessionRow).options(
        selectinload(SessionRow.messages).selectinload(MessageRow.user),
        selectinload(SessionRow.messages).selectinload(MessageRow.session),
        selectinload(SessionRow.users).selectinload(UserRow.messages),
        selectinload(SessionRow.users).selectinload(UserRow.session),
    )
    async with AsyncSession(engine) as reading:
        stored = (await reading.execute(query)).scalar_one()
    assert [found.seq for found in stored.messages] == [1, 2]
    assert [found.user and found.user.name for found in stored.messages] == [None, "Ana"]
    assert [found.name for found in stored.users] == ["Ana"]
    assert [found.seq for found in stored.users[0].messages] == [2]
    assert stored.messages[0].session is stored.users[0].session is stored


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sessions SET name = ''",
        "UPDATE sessions SET name = repeat('a', 101)",
        "UPDATE sessions SET max_users = 0",
        "UPDATE sessions SET max_users = 10001",
        "UPDATE sessions SET presence = 'some'",
        "UPDATE sessions SET id = gen_random_uuid()",
        "DELETE FROM sessions",
        "UPDATE users SET name = repeat('a', 51)",
        "UPDATE users SET name = ''",
        "UPDATE messages SET seq = 0",
        "UPDATE messages SET text = ''",
        "UPDATE messages SET user_name = ''",
        "UPDATE messages SET user_name = repeat('a', 51)",
        "INSERT INTO messages SELECT * FROM messages",
    ],
)
async def test_the_tables_refuse_wrong_values(engine: AsyncEngine, statement: str) -> None:
    """Lengths, ranges, keys and references hold in the database too, for every writer."""
    (session_id,) = await add_sessions(engine, 1)
    await Writer(engine).write(
        [Record(session_id, message(session_id, 1)), Record(session_id, joined(str(uuid4()), "A"))]
    )
    with pytest.raises(DataError) as caught, mapped():
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    assert isinstance(caught.value.__cause__, IntegrityError)


@pytest.fixture
async def nowhere() -> AsyncIterator[AsyncEngine]:
    """An engine for a server that is not there."""
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/seance"
    engine = create_engine(url, pool_size=1, max_overflow=0, timeout_seconds=2)
    yield engine
    await engine.dispose()


async def test_a_server_that_is_away_is_an_error_of_ours(nowhere: AsyncEngine) -> None:
    """Every query and the writer say that the database is unavailable, and no driver's error gets out."""
    sessions, some = StoredSessions(nowhere), str(uuid4())
    for work in (
        sessions.create(name="a"),
        sessions.get(some),
        sessions.close(some),
        sessions.recorded([some]),
        sessions.is_removed(some, some),
        Messages(nowhere).page(some),
        Writer(nowhere).write([Record(some, message(some, 1))]),
    ):
        with pytest.raises(DatabaseUnavailableError):
            await work


async def test_a_query_that_takes_too_long_is_given_up(database_url: str) -> None:
    """A lock that is never released costs the timeout, not forever, and the pool works on."""
    engine = create_engine(database_url, pool_size=2, max_overflow=0, timeout_seconds=0.3)
    patient = create_engine(database_url, pool_size=1, max_overflow=0, timeout_seconds=30)
    record = await StoredSessions(engine).create(name="a")
    async with patient.begin() as holder:
        await holder.execute(text("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(DatabaseUnavailableError):
            await StoredSessions(engine).get(record.id)
        with pytest.raises(DatabaseUnavailableError):
            await Writer(engine).write([Record(record.id, message(record.id, 1))])
    assert await StoredSessions(engine).get(record.id) == record
    await engine.dispose()
    await patient.dispose()


async def test_an_exhausted_pool_is_unavailable(database_url: str) -> None:
    """A query that gets no connection in time says that the database is unavailable."""
    engine = create_engine(database_url, pool_size=1, max_overflow=0, timeout_seconds=0.2)
    async with engine.connect():
        with pytest.raises(DatabaseUnavailableError):
            await StoredSessions(engine).get(str(uuid4()))
    await engine.dispose()


async def test_connections_that_postgres_closed_are_replaced(engine: AsyncEngine, sessions: StoredSessions) -> None:
    """After Postgres cut every connection, the next query works."""
    record = await sessions.create(name="a")
    async with engine.connect() as connection:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        await connection.execute(text(f"{query} AND pid <> pg_backend_pid()"))
    assert await sessions.get(record.id) == record
    assert await Writer(engine).write([Record(record.id, message(record.id, 1))]) == ()


async def test_a_missing_table_is_said_as_it_is(unmigrated: AsyncEngine) -> None:
    """Without migrations the error names the table and the command that makes it, and no message is blamed."""
    with pytest.raises(NotMigratedError, match=r'undefined table: relation "sessions" .*run `seance migrate`'):
        await StoredSessions(unmigrated).get(str(uuid4()))


@pytest.fixture
async def unmigrated(engine: AsyncEngine, database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a database that was never migrated."""
    async with engine.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(text("DROP DATABASE IF EXISTS unmigrated"))
        await outside.execute(text("CREATE DATABASE unmigrated"))
    url = database_url.rpartition("/")[0] + "/unmigrated"
    bare = create_engine(url, pool_size=1, max_overflow=0, timeout_seconds=5)
    yield bare
    await bare.dispose()
