"""Which worker drains which partitions: every worker announces itself, and leases its share one partition at a time.

A partition has one owner, so a session's events are written in the order they were published. A lease that is not
renewed expires; whoever the partition then belongs to by the plan takes it.
"""

import time
from collections.abc import Collection

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from broker import keys
from broker.redis import client
from broker.redis.client import mapped

LEASE_MS = 10_000
RENEW_SECONDS = 3.0


def plan(partitions: int, worker_ids: Collection[str], worker_id: str) -> range:
    """The partitions that a worker should own: runs of equal length (give or take one), in the order of the ids."""
    ordered = sorted(worker_ids)
    rank, count = ordered.index(worker_id), len(ordered)
    return range(rank * partitions // count, (rank + 1) * partitions // count)


class Ownership:
    """One worker's leases. Methods raise BrokerUnavailableError when Redis can't answer."""

    def __init__(self, redis: Redis, *, worker_id: str, partitions: int, lease_ms: int = LEASE_MS) -> None:
        self._redis = redis
        self._partitions = partitions
        self._lease_ms = lease_ms
        self._renewed_at = float("-inf")
        self._announce = client.script(redis, "announce")
        self._take = client.script(redis, "take")
        self._renew = client.script(redis, "renew")
        self._release = client.script(redis, "release")
        self.worker_id = worker_id
        self.planned = range(0)
        self._held: set[int] = set()

    @property
    def held(self) -> frozenset[int]:
        """The partitions owned now; none while that is not certain."""
        return frozenset(self._held) if self.is_current else frozenset()

    @property
    def is_current(self) -> bool:
        """Whether the leases can't have expired; not so before the first `renew`, or when the process was stopped."""
        return time.monotonic() - self._renewed_at < self._lease_ms / 1000

    async def renew(self) -> None:
        """Announce this worker, see who else lives, and prolong the leases; those that were lost are no longer held."""
        asked_at = time.monotonic()
        with mapped():
            live = await self._announce(keys=[keys.WORKERS], args=[self.worker_id, self._lease_ms])
        self.planned = plan(self._partitions, {name.decode() for name in live}, self.worker_id)
        self._held -= await self._each(self._renew, sorted(self._held), refused=True)
        self._renewed_at = asked_at

    async def take(self, partitions: Collection[int]) -> set[int]:
        """Lease those that are free, or are leased under this worker's name already; returns them."""
        taken = await self._each(self._take, partitions)
        self._held |= taken
        return taken

    async def release(self, partitions: Collection[int]) -> None:
        """Give up leases, so that another worker can take over at once."""
        self._held -= set(partitions)
        await self._each(self._release, partitions)

    async def leave(self) -> None:
        """Give up every lease and announce no more."""
        await self.release(tuple(self._held))
        with mapped():
            await self._redis.zrem(keys.WORKERS, self.worker_id)

    async def _each(self, lua: AsyncScript, partitions: Collection[int], *, refused: bool = False) -> set[int]:
        """Run a script for each partition, in one round trip; returns those it accepted, or those it refused."""
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for partition in partitions:
                    await lua(keys=[keys.owner(partition)], args=[self.worker_id, self._lease_ms], client=pipeline)
                answers = await pipeline.execute()
        wanted = 0 if refused else 1
        return {partition for partition, answer in zip(partitions, answers, strict=True) if answer == wanted}
