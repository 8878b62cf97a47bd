"""The events that the partition streams hold, for tests: made, put into Redis, and counted in Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.events import (
    LeftReason,
    Message,
    MessageReceived,
    Stored,
    User,
    UserJoined,
    UserJoinedData,
    UserLeft,
    UserLeftData,
    instant,
)
from broker.keys import Keys
from broker.redis.link import Link
from broker.redis.scripts import WORKER_SCRIPTS, Scripts
from broker.streams.partition_streams import PartitionStreams
from persistence.engine import create_engine
from tests.services import Services

KEYS = Keys("seance", 4)
STREAM_DATABASE = 1
# Of a process with the default settings on that database.
PROCESS_KEYS = Keys.of("seance", 16, STREAM_DATABASE)
EPOCH = "k3v9"

Result = TypeVar("Result")


@asynccontextmanager
async def engine_on(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine of a test."""
    engine = create_engine(database_url, pool_size=4, max_overflow=0, timeout_seconds=5)
    yield engine
    await engine.dispose()


@asynccontextmanager
async def redis_on(url: str) -> AsyncIterator[Redis]:
    """A client of a test."""
    # XREADGROUP answers {stream: [(id, fields), …]}, whatever the protocol.
    redis = Redis.from_url(url, socket_timeout=5, legacy_responses=False)
    yield redis
    await redis.aclose()


@asynccontextmanager
async def full_memory(redis: Redis) -> AsyncIterator[None]:
    """Meanwhile this Redis counts as full, and refuses everything that could need more memory."""
    usual = (await redis.config_get("maxmemory"))["maxmemory"] or 0
    await redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        await redis.config_set("maxmemory", usual)


def streams_over(link: Link, keys: Keys, *, reading: Link | None = None) -> PartitionStreams:
    """The worker's source over one link, or two when reads are to wait while other commands run."""
    return PartitionStreams(link, Scripts(link, WORKER_SCRIPTS), reading=reading or link, keys=keys)


async def empty_streams(services: Services) -> str:
    """The URL of an empty Redis database that no other process of this test run uses.

    The worker that contract tests share drains database 0, and would take what is published there.
    """
    url = services.redis_url.removesuffix("/0") + f"/{STREAM_DATABASE}"
    async with redis_on(url) as redis:
        await redis.flushdb()
        await redis.script_flush()
    return url


def message(
    session_id: str,
    seq: int,
    *,
    id: str | None = None,  # noqa: A002 - the field's name
    text: str = "hello",
    user_id: str | None = None,
    user_name: str = "Ana",
    moment: datetime | None = None,
) -> MessageReceived:
    """A message of that session."""
    ts = instant(moment)
    return MessageReceived(ts, Message(id or str(uuid4()), session_id, user_id, user_name, text, ts, False), seq)


def joined(user_id: str | None, name: str, moment: datetime | None = None, seq: int = 0) -> UserJoined:
    """Somebody came."""
    return UserJoined(instant(moment), UserJoinedData(User(user_id, name), 1), seq)


def left(
    user_id: str, name: str, moment: datetime | None = None, reason: LeftReason = "left", seq: int = 0
) -> UserLeft:
    """Somebody went."""
    return UserLeft(instant(moment), UserLeftData(User(user_id, name), 0, reason), seq)


async def publish(redis: Redis, keys: Keys, session_id: str, *events: Stored, epoch: str = EPOCH) -> None:
    """Put events into the stream of the session's partition, as the scripts do."""
    pipeline = redis.pipeline(transaction=False)
    for event in events:
        put(pipeline, keys.partition_of(session_id), session_id, msgspec.json.encode(event), epoch=epoch, keys=keys)
    await pipeline.execute()


def put(redis: Any, partition: int, session_id: str, body: bytes, *, epoch: str = EPOCH, keys: Keys = KEYS) -> Any:
    """Put one entry with any body into a partition's stream."""
    return redis.xadd(keys.events(partition), {"s": session_id, "e": epoch, "d": body})


async def add_sessions(engine: AsyncEngine, count: int) -> list[str]:
    """Store that many sessions; returns their ids."""
    ids = [uuid4() for _ in range(count)]
    insert = text("INSERT INTO sessions (id, name, created_at) VALUES (:id, 'Tuesday', :now)")
    async with engine.begin() as connection:
        await connection.execute(insert, [{"id": one, "now": datetime.now(UTC)} for one in ids])
    return [str(one) for one in ids]


async def rows(engine: AsyncEngine, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """What the database answers."""
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query), parameters)]
