"""The events that the partition streams hold, for tests: made, put into Redis, and counted in Postgres."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import keys
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

EPOCH = "k3v9"


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


async def publish(redis: Redis, partitions: int, session_id: str, *events: Stored, epoch: str = EPOCH) -> None:
    """Put events into the stream of the session's partition, as the scripts do."""
    pipeline = redis.pipeline(transaction=False)
    for event in events:
        put(pipeline, keys.partition_of(session_id, partitions), session_id, msgspec.json.encode(event), epoch)
    await pipeline.execute()


def put(redis: Any, partition: int, session_id: str, body: bytes, epoch: str = EPOCH) -> Any:
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
