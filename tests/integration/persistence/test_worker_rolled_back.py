"""A worker that commits what Redis has lost meanwhile: Redis undoes nothing of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.events import Empty, SessionClosed, Stored, instant
from broker.keys import GROUP
from broker.redis.link import Link
from broker.streams.partition_streams import RESTORED_SECONDS
from persistence.rows import Record
from persistence.worker import WorkerConfig
from persistence.writer import Writer
from tests.stream_fixtures import EPOCH, add_sessions, left, message, publish, rows, streams_over
from tests.waiting import eventually
from tests.working import KEYS, config, drained, working

ANA = "7c0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a03"
AT_SEQ = 5


@pytest.fixture
def settings(stream_url: str, database_url: str) -> WorkerConfig:
    """The configuration of the workers."""
    return config(stream_url, database_url)


@pytest.fixture
async def session_id(redis: Redis, engine: AsyncEngine) -> str:
    """An open session, hot as it was at seq 5."""
    (one,) = await add_sessions(engine, 1)
    await redis.hset(
        hash_of(one),
        mapping={
            "epoch": EPOCH,
            "seq": AT_SEQ,
            "is_active": 1,
            "persisted": 0,
            "log_events": 512,
            "idle_seconds": 600,
            "presence": "full",
        },
    )
    return one


def hash_of(session_id: str) -> str:
    """The session's key."""
    return KEYS.session(KEYS.partition_of(session_id), session_id)


def events_of(session_id: str) -> str:
    """The stream that has the session's entries."""
    return KEYS.events(KEYS.partition_of(session_id))


@asynccontextmanager
async def read_but_not_written(
    redis: Redis, engine: AsyncEngine, session_id: str, *events: Stored
) -> AsyncIterator[None]:
    """Publish events; meanwhile a worker that runs has read them, and waits for Postgres."""
    async with engine.begin() as holder:
        await holder.exec_driver_sql("LOCK TABLE messages, users, sessions IN ACCESS EXCLUSIVE MODE")
        await publish(redis, KEYS, session_id, *events)

        async def is_writing() -> bool:
            return await rows(engine, "SELECT 1 FROM pg_locks WHERE NOT granted") != []

        await eventually(is_writing, what="a worker that waits for Postgres")
        yield


async def forget_entries(redis: Redis, session_id: str) -> None:
    """Let Redis go back to before the entries came."""
    await redis.xgroup_destroy(events_of(session_id), GROUP)
    await redis.delete(events_of(session_id))


@pytest.mark.parametrize("is_lost_on_the_way", [False, True])
async def test_what_was_committed_too_late_for_the_comparison_is_not_undone(
    redis: Redis, engine: AsyncEngine, settings: WorkerConfig, session_id: str, is_lost_on_the_way: bool
) -> None:
    """Redis goes back while a worker has a removal and a close in its hands: once committed they hold in Redis too.

    Also when the worker can't tell Redis at once.
    """
    lost: list[Stored] = [
        message(session_id, AT_SEQ + 1),
        left(ANA, "Ana", reason="removed", seq=AT_SEQ + 2),
        SessionClosed(instant(), Empty(), AT_SEQ + 3),
    ]
    async with working(settings):
        await eventually(lambda: redis.exists(events_of(session_id)), what="a worker that is ready")
        async with read_but_not_written(redis, engine, session_id, *lost):
            await forget_entries(redis, session_id)
            if is_lost_on_the_way:
                await redis.client_kill_filter(_type="normal", skipme=True)

        async def is_closed() -> bool:
            return await redis.hget(hash_of(session_id), "is_active") == b"0"

        await eventually(is_closed, what="a closed session")
    assert await redis.smembers(f"{hash_of(session_id)}:removed") == {ANA.encode()}
    assert await redis.hget(hash_of(session_id), "epoch") != EPOCH.encode()
    assert await redis.hget(hash_of(session_id), "seq") == b"2000001"  # the close; the removed user has no seat
    assert await rows(engine, "SELECT is_active FROM sessions") == [(False,)]


async def test_a_batch_that_redis_still_knows_asks_postgres_nothing(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig, session_id: str
) -> None:
    """In normal operation a session is not compared after each batch: what only Postgres was told does not come."""
    async with working(settings):
        async with engine.begin() as connection:
            await connection.exec_driver_sql("UPDATE sessions SET is_active = false")
        await publish(redis, KEYS, session_id, message(session_id, AT_SEQ))
        await drained(stream_link)
    assert await redis.hget(hash_of(session_id), "is_active") == b"1"


@pytest.mark.parametrize("is_read", [True, False])
async def test_a_message_is_restored_once_whoever_comes_with_it(
    redis: Redis, stream_link: Link, engine: AsyncEngine, session_id: str, is_read: bool
) -> None:
    """Two workers that have the same entry in their hands, one of them suspended, publish its message once.

    Also when Redis has lost the entry itself.
    """
    await Writer(engine).write([Record(session_id, message(session_id, AT_SEQ), EPOCH)])
    streams = streams_over(stream_link, KEYS)
    await streams.prepare()
    displaced = message(session_id, AT_SEQ, text="second")
    await publish(redis, KEYS, session_id, displaced)
    [entry] = await streams.read({KEYS.partition_of(session_id)}, 1, 1)
    if not is_read:
        await forget_entries(redis, session_id)
        await streams.prepare()
    assert [await streams.restore(entry, displaced, AT_SEQ) for _ in range(2)] == [2_000_001, 2_000_001]
    assert await redis.xlen(f"{hash_of(session_id)}:log") == 1
    [restored] = await redis.keys(f"{hash_of(session_id)}:restored:*")
    assert 0 < await redis.ttl(restored) <= RESTORED_SECONDS
    assert (await redis.xpending(events_of(session_id), GROUP))["pending"] == 0
