"""Which worker drains which partitions: every worker announces itself, and leases its share one partition at a time.

A partition has one owner, so a session's events are written in the order they were published. A lease that is not
renewed expires; then the worker takes the partition that the plan gives it to.
"""

import asyncio
import time
from collections.abc import Collection

from broker.keys import Keys
from broker.redis.link import Link
from broker.redis.scripts import Scripts

LEASE_MS = 10_000
RENEW_SECONDS = 3.0


def plan(partitions: int, worker_ids: Collection[str], worker_id: str) -> range:
    """The partitions that a worker should own: runs of equal length (give or take one), in the order of the ids."""
    ordered = sorted(worker_ids)
    rank, count = ordered.index(worker_id), len(ordered)
    return range(rank * partitions // count, (rank + 1) * partitions // count)


class Ownership:
    """One worker's leases. Methods raise BrokerUnavailableError when Redis can't answer."""

    def __init__(self, link: Link, scripts: Scripts, *, worker_id: str, keys: Keys, lease_ms: int = LEASE_MS) -> None:
        self._link = link
        self._scripts = scripts
        self._keys = keys
        self._lease_ms = lease_ms
        self._renewed_at = float("-inf")
        self.worker_id = worker_id
        self.planned = range(0)
        self._held: set[int] = set()

    @property
    def held(self) -> frozenset[int]:
        """The partitions owned now; none while that is not certain."""
        return frozenset(self._held) if self.is_current else frozenset()

    @property
    def is_current(self) -> bool:
        """Whether the leases can't have expired. False before the first `renew` and after the process was stopped."""
        return time.monotonic() - self._renewed_at < self._lease_ms / 1000

    async def renew(self) -> None:
        """Announce this worker, learn which others live, and prolong the leases; lost leases are no longer held."""
        asked_at = time.monotonic()
        live = await self._scripts.call("announce", (self._keys.workers,), self.worker_id, self._lease_ms)
        self.planned = plan(self._keys.partitions, {name.decode() for name in live}, self.worker_id)
        self._held -= await self._each("renew", sorted(self._held), refused=True)
        self._renewed_at = asked_at

    async def take(self, partitions: Collection[int]) -> set[int]:
        """Lease those that are free, or are leased under this worker's name already; returns them."""
        taken = await self._each("take", partitions)
        self._held |= taken
        return taken

    async def release(self, partitions: Collection[int]) -> None:
        """Give up leases, so that another worker can take over at once."""
        self._held -= set(partitions)
        await self._each("release", partitions)

    async def leave(self) -> None:
        """Give up every lease and announce no more."""
        await self.release(tuple(self._held))
        await self._link.call("ZREM", self._keys.workers, self.worker_id)

    async def _each(self, script: str, partitions: Collection[int], *, refused: bool = False) -> set[int]:
        """Run a script for each partition, in one round trip; returns those it accepted, or those it refused."""
        answers = await asyncio.gather(
            *(
                self._scripts.call(script, (self._keys.owner(partition),), self.worker_id, self._lease_ms)
                for partition in partitions
            )
        )
        wanted = 0 if refused else 1
        return {partition for partition, answer in zip(partitions, answers, strict=True) if answer == wanted}
