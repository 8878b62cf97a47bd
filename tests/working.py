"""Workers inside the test's own event loop, with short leases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from broker.keys import Keys
from broker.redis.link import Link
from broker.streams.lag import lag
from persistence.worker import WorkerConfig, work
from tests.waiting import eventually

PARTITIONS = 4
KEYS = Keys("seance", PARTITIONS)
LEASE_MS = 1000


def config(redis_url: str, database_url: str, **other: Any) -> WorkerConfig:
    """The configuration of a worker of a test."""
    values: dict[str, Any] = {"keys": KEYS, "batch_milliseconds": 5}
    leases = {"lease_ms": LEASE_MS, "renew_seconds": 0.1}
    timeouts = {"database_timeout_seconds": 2, "redis_timeout_seconds": 2}
    return WorkerConfig(redis_url=redis_url, database_url=database_url, **{**values, **leases, **timeouts, **other})


class Working:
    """A worker that runs as a task."""

    def __init__(self, settings: WorkerConfig, worker_id: str) -> None:
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(work(settings, worker_id, self.stop), name=worker_id)

    async def end(self) -> None:
        """Ask it to end, and wait for it. Raises what it died of."""
        self.stop.set()
        async with asyncio.timeout(20):
            await self.task

    async def die(self) -> None:
        """End it without giving it a chance to tidy up."""
        self.task.cancel()
        await asyncio.wait([self.task])


@asynccontextmanager
async def working(settings: WorkerConfig, worker_id: str = "worker-1") -> AsyncIterator[Working]:
    """A worker; at the end it must stop cleanly, if the test has not ended it."""
    worker = Working(settings, worker_id)
    try:
        yield worker
    finally:
        if not worker.task.done():
            await worker.end()


async def drained(link: Link) -> None:
    """Return when every entry is acknowledged."""

    async def is_drained() -> bool:
        return not any((await lag(link, KEYS)).values())

    await eventually(is_drained, what="streams without lag")


async def owners(redis: Redis) -> list[str | None]:
    """Who owns each partition."""
    found: list[Any] = [await redis.get(KEYS.owner(partition)) for partition in range(PARTITIONS)]
    return [None if owner is None else owner.decode() for owner in found]


async def owned_by(redis: Redis, *worker_ids: str | None) -> None:
    """Return when the partitions belong to these, one by one."""

    async def is_so() -> bool:
        return await owners(redis) == list(worker_ids)

    await eventually(is_so, what=f"partitions of {worker_ids}")
