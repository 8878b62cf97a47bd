"""Messages whose seq was given twice, because Redis lost data: they get another seq, and no message is lost."""

from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from broker.events import decode_stored
from broker.redis.link import Link
from broker.streams import dead_letters
from persistence.rows import Record
from persistence.worker import WorkerConfig
from persistence.writer import Writer
from tests.stream_fixtures import EPOCH, add_sessions, full_memory, message, publish, rows
from tests.working import KEYS, config, drained, owned_by, working


@pytest.fixture
def settings(stream_url: str, database_url: str) -> WorkerConfig:
    """The configuration of the workers."""
    return config(stream_url, database_url)


@pytest.fixture
async def session_id(engine: AsyncEngine) -> str:
    """A session of which Postgres holds five messages."""
    (one,) = await add_sessions(engine, 1)
    await Writer(engine).write([Record(one, message(one, seq, text="first"), EPOCH) for seq in range(1, 6)])
    return one


async def make_hot(redis: Redis, session_id: str, seq: int, epoch: str = EPOCH) -> str:
    """Let Redis know the session as it was at that seq; returns its key."""
    session = KEYS.session(KEYS.partition_of(session_id), session_id)
    fields: dict[Any, Any] = {
        "epoch": epoch,
        "seq": seq,
        "persisted": 0,
        "log_events": 512,
        "idle_seconds": 600,
        "presence": "full",
    }
    await redis.hset(session, mapping=fields)
    return session


async def stored(engine: AsyncEngine) -> list[tuple[int, str]]:
    """The messages, as (seq, text)."""
    return [(seq, text) for seq, text in await rows(engine, "SELECT seq, text FROM messages ORDER BY seq")]


FIRST = [(seq, "first") for seq in range(1, 6)]


async def test_displaced_messages_are_published_again(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig, session_id: str
) -> None:
    """The session goes on in another epoch, above everything written; both messages of a seq are rows in the end."""
    session = await make_hot(redis, session_id, 4)
    again = [message(session_id, seq, text=f"second {seq}") for seq in (3, 4)]
    await publish(redis, KEYS, session_id, *again)
    with capture_logs() as lines:
        async with working(settings):
            await drained(stream_link)
    assert await stored(engine) == [*FIRST, (2_000_001, "second 3"), (2_000_002, "second 4")]
    ids = await rows(engine, "SELECT id::text FROM messages WHERE seq > 2000000 ORDER BY seq")
    assert [one for (one,) in ids] == [event.data.id for event in again]
    assert (await redis.hget(session, "epoch") != EPOCH.encode(), await redis.hget(session, "seq")) == (
        True,
        b"2000002",
    )
    assert await redis.hget(session, "persisted") == b"2000002"
    assert await dead_letters.listed(stream_link, KEYS) == []
    told = [(line["seq"], line["new_seq"]) for line in lines if line["event"] == "worker.message_restored"]
    assert told == [(3, 2_000_001), (4, 2_000_002)]
    assert "worker.seq_missing" not in str(lines)
    log: Any = await redis.xrange(f"{session}:log")
    header, _, body = log[0][1][b"p"].partition(b"\n")
    assert header == b"2000001 e -"
    assert decode_stored(body) == msgspec.structs.replace(again[0], seq=2_000_001)


async def test_a_displaced_message_joins_an_epoch_that_has_begun(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig, session_id: str
) -> None:
    """When a gateway was faster the message goes into the epoch that has begun."""
    session = await make_hot(redis, session_id, 2_000_000, epoch="new")
    await publish(redis, KEYS, session_id, message(session_id, 4, text="second"))
    async with working(settings):
        await drained(stream_link)
    assert await stored(engine) == [*FIRST, (2_000_001, "second")]
    assert await redis.hget(session, "epoch") == b"new"


async def test_a_displaced_message_without_hot_state_is_dead(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig, session_id: str
) -> None:
    """Without hot state the message is kept aside; once there is one, it can be put back and is published again."""
    await publish(redis, KEYS, session_id, message(session_id, 4, text="second"))
    async with working(settings):
        await drained(stream_link)
        [one] = await dead_letters.listed(stream_link, KEYS)
        assert one.reason == "another message has this seq"
        assert await rows(engine, "SELECT seq FROM refused_messages") == []  # the seq has a row, of the other message
        await make_hot(redis, session_id, 4)
        assert await dead_letters.retry(stream_link, KEYS) == 1
        await drained(stream_link)
    assert await stored(engine) == [*FIRST, (2_000_001, "second")]
    assert await dead_letters.listed(stream_link, KEYS) == []


async def test_a_full_memory_does_not_hold_up_the_partition_of_a_displaced_message(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig, session_id: str
) -> None:
    """While Redis has no memory left, a displaced message gets its new seq, and what follows it is written."""
    session = await make_hot(redis, session_id, 2_000_000, epoch="new")
    async with working(settings):
        await owned_by(redis, *4 * ["worker-1"])  # the worker has made what it needs
    await publish(redis, KEYS, session_id, message(session_id, 4, text="second"), message(session_id, 6, text="later"))
    async with full_memory(redis), working(settings):
        await drained(stream_link)
    assert await stored(engine) == [*FIRST, (6, "later"), (int(await redis.hget(session, "seq") or 0), "second")]
    assert await dead_letters.listed(stream_link, KEYS) == []
