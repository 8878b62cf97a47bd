"""Entries that could not be written: look at them, put them back, or drop them."""

from collections.abc import AsyncIterator, Collection
from typing import Any

import msgspec
from redis.asyncio import Redis

from broker import keys
from broker.redis.client import mapped

_AT_ONCE = 100


class DeadEntry(msgspec.Struct, frozen=True):
    """One unwritable entry. `name` (`<partition>:<id>`) is what commands take; `entry_id` was its id in the stream."""

    partition: int
    id: str
    entry_id: str
    session_id: str
    reason: str
    fields: dict[Any, Any]  # of bytes; redis-py's annotations take no narrower type

    @property
    def name(self) -> str:
        """What identifies the entry in the whole installation."""
        return f"{self.partition}:{self.id}"


async def listed(redis: Redis, partitions: int, limit: int | None = None) -> list[DeadEntry]:
    """The dead entries by partition, oldest first, at most `limit`. Raises BrokerUnavailableError."""
    found: list[DeadEntry] = []
    async for entry in _entries(redis, partitions):
        if limit is not None and len(found) >= limit:
            break
        found.append(entry)
    return found


async def retry(redis: Redis, partitions: int, names: Collection[str] | None = None) -> int:
    """Put entries back into their streams for the workers, all when no names are given; returns how many."""
    count = 0
    for entry in await _chosen(redis, partitions, names):
        with mapped():
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.xadd(keys.events(entry.partition), entry.fields)
                pipeline.xdel(keys.dead(entry.partition), entry.id)
                await pipeline.execute()
        count += 1
    return count


async def drop(redis: Redis, partitions: int, names: Collection[str] | None = None) -> int:
    """Delete entries for good, all when no names are given; returns how many."""
    count = 0
    for entry in await _chosen(redis, partitions, names):
        with mapped():
            count += await redis.xdel(keys.dead(entry.partition), entry.id)
    return count


async def _chosen(redis: Redis, partitions: int, names: Collection[str] | None) -> list[DeadEntry]:
    # Listed before anything is moved: what dies again meanwhile is not taken up a second time.
    return [entry for entry in await listed(redis, partitions) if names is None or entry.name in names]


async def _entries(redis: Redis, partitions: int) -> AsyncIterator[DeadEntry]:
    for partition in range(partitions):
        start = "-"
        while True:
            with mapped():
                page: Any = await redis.xrange(keys.dead(partition), min=start, count=_AT_ONCE)
            for entry_id, fields in page:
                yield _dead_entry(partition, entry_id, fields)
            if len(page) < _AT_ONCE:
                break
            start = f"({page[-1][0].decode()}"


def _dead_entry(partition: int, entry_id: bytes, fields: dict[bytes, bytes]) -> DeadEntry:
    original = {name: value for name, value in fields.items() if name not in {b"reason", b"entry"}}
    return DeadEntry(
        partition,
        entry_id.decode(),
        fields.get(b"entry", b"").decode(),
        original.get(b"s", b"").decode(errors="replace"),
        fields.get(b"reason", b"").decode(),
        original,
    )
