"""Through PgBouncer: sessions and transactions, found out or told; skipped where PgBouncer is not installed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster import migrate
from persistence.address import Pooler
from persistence.engine import create_engine
from persistence.errors import DatabaseUnavailableError, PersistenceError, mapped
from persistence.messages import Messages
from persistence.rows import Record
from persistence.sessions import StoredSessions
from persistence.writer import Writer
from tests.pgbouncer import needs_pgbouncer, pgbouncer
from tests.stream_fixtures import joined, message, rows

pytestmark = needs_pgbouncer

IGNORED = "idle_in_transaction_session_timeout"
SEARCH_PATH = "SHOW search_path"


@asynccontextmanager
async def engine_through(url: str, *, schema: str = "", pooler: Pooler = "auto") -> AsyncIterator[AsyncEngine]:
    """An engine with more connections than PgBouncer has."""
    engine = create_engine(url, schema=schema, pooler=pooler, pool_size=4, max_overflow=0, timeout_seconds=5)
    yield engine
    await engine.dispose()


async def converse(engine: AsyncEngine, turns: int) -> None:
    """What a gateway and a worker ask of Postgres, from `turns` tasks at once."""
    sessions, writer, messages = StoredSessions(engine), Writer(engine), Messages(engine)

    async def turn(number: int) -> None:
        record = await sessions.create(name=f"Tuesday {number}")
        batch = [Record(record.id, message(record.id, seq, text=f"{number}")) for seq in range(1, 6)]
        batch.append(Record(record.id, joined(record.id, "Ana", seq=6)))
        assert await writer.write(batch) == ()
        assert await writer.write(batch) == ()
        page = await messages.page(record.id)
        assert [(one.seq, one.text) for one in page.items] == [(seq, f"{number}") for seq in range(1, 6)]
        assert await sessions.close(record.id) != record
        assert [found.seq for found in await sessions.recorded([record.id])] == [6]

    await asyncio.gather(*map(turn, range(turns)))


@pytest.mark.parametrize("ignored", ["", IGNORED], ids=["as it comes", "ignoring our setting"])
@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_a_pooler_is_found_and_everything_works_through_it(
    mode: Literal["session", "transaction"], ignored: str, database_url: str, tmp_path: Path
) -> None:
    """Two processes share fewer connections than they open, as behind the poolers of hosts, and nobody says so."""
    size = 8 if mode == "session" else 2
    with pgbouncer(tmp_path, database_url, mode, ignored=ignored, pool_size=size) as url:
        await asyncio.to_thread(migrate.upgrade, url)
        async with engine_through(url) as one, engine_through(url) as other:
            await asyncio.gather(converse(one, 8), converse(other, 8))
        assert await asyncio.to_thread(migrate.current, url) == migrate.head()


async def test_a_pooler_may_be_told(database_url: str, tmp_path: Path) -> None:
    """DATABASE_POOLER, or `pgbouncer=true` in the URL, spares the first connection its question."""
    with pgbouncer(tmp_path, database_url, "transaction") as url:
        async with engine_through(url, pooler="transaction") as one, engine_through(f"{url}?pgbouncer=true") as other:
            await asyncio.gather(converse(one, 4), converse(other, 4))


async def test_behind_a_pooler_of_sessions_a_session_is_set_up(database_url: str, tmp_path: Path) -> None:
    """With DATABASE_POOLER=session a forgotten transaction is still ended, and the schema is in force."""
    with pgbouncer(tmp_path, database_url, "session") as url:
        async with engine_through(url, pooler="session", schema="public") as engine:
            await converse(engine, 2)
            assert await rows(engine, f"SHOW {IGNORED}") == [("5s",)]
            assert await rows(engine, SEARCH_PATH) == [("public",)]


async def test_a_schema_is_never_missed_behind_a_pooler_of_transactions(database_url: str, tmp_path: Path) -> None:
    """Such a pooler can't pass on the schema: the role must have it, and until then nothing is read or written."""
    name = database_url.rpartition("/")[2]
    setting = f"ALTER ROLE postgres IN DATABASE {name}"
    with pgbouncer(tmp_path, database_url, "transaction") as url:
        async with engine_through(url, schema="public") as engine:
            with pytest.raises(PersistenceError, match=r"ALTER ROLE .* SET search_path = public"), mapped():
                await rows(engine, "SELECT 1")
    await execute(database_url, f"{setting} SET search_path = public")
    try:
        with pgbouncer(tmp_path, database_url, "transaction") as url:
            async with engine_through(url, schema="public") as engine:
                await converse(engine, 2)
    finally:
        await execute(database_url, f"{setting} RESET search_path")


async def execute(url: str, statement: str) -> None:
    """Execute one statement, past the pooler."""
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_what_a_pooler_refuses_is_said(database_url: str, tmp_path: Path) -> None:
    """The reason is the pooler's own: here a parameter of the URL that PgBouncer does not take."""
    with pgbouncer(tmp_path, database_url, "session") as url:
        async with engine_through(f"{url}?options=-c%20work_mem%3D8MB") as engine:
            with pytest.raises(DatabaseUnavailableError, match="unsupported startup parameter: options"), mapped():
                await rows(engine, "SELECT 1")


async def test_no_pooler_is_found_where_there_is_none(engine: AsyncEngine) -> None:
    """A direct connection keeps its prepared statements and its settings."""
    await converse(engine, 2)
    assert await rows(engine, f"SHOW {IGNORED}") == [("5s",)]
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        await connection.execute(text("SELECT 1"))
        assert await connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) > 0
