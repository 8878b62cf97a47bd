"""Measures Redis and Postgres every few seconds, for the metrics: round trips, and the backlog."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from broker.errors import BrokerError
from broker.keys import Keys
from broker.redis.link import Link
from broker.streams.backlog import Backlog, measure
from metrics.definitions import SECONDS
from metrics.histogram import Histogram
from persistence.errors import PersistenceError

LOOK_SECONDS = 5.0
# The interval while a server is down, so that the metrics soon show its return.
LOOK_AGAIN_SECONDS = 0.5


class DependencyProbe:
    """The results of the last look; before the first look both servers count as down."""

    def __init__(
        self,
        link: Link,
        *,
        ping_redis: Callable[[], Awaitable[None]],
        ping_database: Callable[[], Awaitable[None]],
        keys: Keys,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.is_redis_up = False
        self.is_postgres_up = False
        self.redis_seconds = Histogram(SECONDS)
        self.postgres_seconds = Histogram(SECONDS)
        self.backlog = Backlog()
        self._link = link
        self._ping_redis = ping_redis
        self._ping_database = ping_database
        self._keys = keys
        self._look_seconds = look_seconds

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            is_well = self.is_redis_up and self.is_postgres_up
            await asyncio.sleep(self._look_seconds if is_well else LOOK_AGAIN_SECONDS)

    async def look(self) -> None:
        """Look once, at most `look_seconds` long."""
        self.is_redis_up, self.is_postgres_up = await asyncio.gather(
            self._succeeds(self._look_at_redis), self._succeeds(self._look_at_postgres)
        )

    async def _look_at_redis(self) -> None:
        await _timed(self._ping_redis, self.redis_seconds)
        self.backlog = await measure(self._link, self._keys)

    async def _look_at_postgres(self) -> None:
        await _timed(self._ping_database, self.postgres_seconds)

    async def _succeeds(self, look: Callable[[], Awaitable[None]]) -> bool:
        try:
            async with asyncio.timeout(self._look_seconds):
                await look()
        except (BrokerError, PersistenceError, TimeoutError):
            return False
        return True


async def _timed(work: Callable[[], Awaitable[None]], seconds: Histogram) -> None:
    began_at = time.perf_counter()
    await work()
    seconds.observe(time.perf_counter() - began_at)
