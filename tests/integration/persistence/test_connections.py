"""The pool when Postgres hangs or was replaced by a standby: bounds hold, and no useless connection stays."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.connections import is_spent, ping
from persistence.engine import create_engine
from persistence.errors import DatabaseUnavailableError
from persistence.rows import Record
from persistence.sessions import StoredSessions
from persistence.writer import Writer
from tests.chaos.servers import Server, ended, postgres_in
from tests.services import run_apart
from tests.stream_fixtures import EPOCH, add_sessions, message

TIMEOUT_SECONDS = 1
# What a busy machine may add. Giving a connection up took 2 s more.
SLACK_SECONDS = 1.5


@pytest.fixture
async def own_engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with a pool of its own."""
    engine = create_engine(database_url, pool_size=4, max_overflow=0, timeout_seconds=5)
    yield engine
    await engine.dispose()


async def _fill(engine: AsyncEngine, count: int) -> None:
    """Let the pool hold so many connections."""
    held = [await engine.connect() for _ in range(count)]
    for connection in held:
        await connection.close()


@pytest.fixture
async def read_only(database_url: str) -> AsyncIterator[Callable[[bool], Awaitable[None]]]:
    """Decides whether new connections may write; as before at the end."""
    name = urlsplit(database_url).path.removeprefix("/")

    async def decide(is_read_only: bool) -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {is_read_only}')
        await connection.close()

    yield decide
    await decide(False)


async def test_one_refused_write_clears_the_pool_of_read_only_connections(
    own_engine: AsyncEngine, read_only: Callable[[bool], Awaitable[None]]
) -> None:
    """Connections that were made to a standby are all replaced after the first of them refuses a write."""
    stored = StoredSessions(own_engine)
    await read_only(True)
    await _fill(own_engine, 4)
    await read_only(False)
    with pytest.raises(DatabaseUnavailableError, match="25006"):
        await stored.create(name="refused")
    created = await asyncio.gather(*(stored.create(name="fine") for _ in range(4)))
    assert len({session.id for session in created}) == 4


async def test_a_batch_leaves_a_read_only_connection(
    own_engine: AsyncEngine, engine: AsyncEngine, read_only: Callable[[bool], Awaitable[None]]
) -> None:
    """A batch that was refused by a read-only connection is written when it is tried again."""
    (session_id,) = await add_sessions(engine, 1)
    records = [Record(session_id, message(session_id, 1), EPOCH)]
    await read_only(True)
    await _fill(own_engine, 1)
    await read_only(False)
    with pytest.raises(DatabaseUnavailableError, match="25006"):
        await Writer(own_engine).write(records)
    assert await Writer(own_engine).write(records) == ()


async def test_a_database_that_takes_no_writes_is_not_up(
    own_engine: AsyncEngine, read_only: Callable[[bool], Awaitable[None]]
) -> None:
    """A standby answers queries, but it does not pass for healthy; its connections leave the pool one by one."""
    await ping(own_engine)
    await own_engine.dispose()
    await read_only(True)
    with pytest.raises(DatabaseUnavailableError, match="takes no writes"):
        await ping(own_engine)
    await read_only(False)
    await ping(own_engine)


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [("25006", True), ("57P01", True), ("08006", True), ("57014", False), ("40001", False), ("23505", False)],
)
def test_which_answers_end_a_connection(sqlstate: str, expected: bool) -> None:
    """A server that goes away or takes no writes ends its connections; a conflict or a wrong value does not."""
    assert is_spent(sqlstate) is expected


@pytest.fixture(scope="module")
def hanging_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Postgres with no tables that only these tests stop."""
    with ended(postgres_in(tmp_path_factory.mktemp("hanging"))) as server:
        run_apart(server.start())
        yield server


@pytest.mark.parametrize("pooled", [0, 2])
@pytest.mark.parametrize("work", ["ping", "create", "write"])
async def test_a_postgres_that_hangs_is_given_up_in_time(hanging_postgres: Server, pooled: int, work: str) -> None:
    """Whether connections are pooled or not, every piece of work ends with the time limit when Postgres is stopped."""
    engine = create_engine(hanging_postgres.url, pool_size=2, max_overflow=0, timeout_seconds=TIMEOUT_SECONDS)
    await _fill(engine, pooled)
    session_id = "5b0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a01"
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "ping": lambda: ping(engine),
        "create": lambda: StoredSessions(engine).create(name="late"),
        "write": lambda: Writer(engine).write([Record(session_id, message(session_id, 1), EPOCH)]),
    }
    hanging_postgres.stop()
    began_at = time.monotonic()
    try:
        with pytest.raises(DatabaseUnavailableError):
            await works[work]()
        assert time.monotonic() - began_at < TIMEOUT_SECONDS + SLACK_SECONDS
        began_at = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await works[work]()
        assert time.monotonic() - began_at < 0.1 + SLACK_SECONDS
    finally:
        hanging_postgres.go_on()
    await engine.dispose()
