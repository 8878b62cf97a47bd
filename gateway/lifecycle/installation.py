"""When Redis is connected or has lost data: whether it belongs to this installation, and is set up to lose nothing."""

import asyncio
import contextlib

import structlog

from broker.errors import BrokerUnavailableError
from broker.keys import Keys
from broker.redis import installation
from broker.redis.link import Link
from persistence.errors import DatabaseUnavailableError, PersistenceError
from persistence.installation import Bond

CHECK_AGAIN_SECONDS = 0.5

log = structlog.get_logger()


class InstallationCheck:
    """The check of one gateway. Nothing may be written to Redis before `passed` is set."""

    def __init__(self, link: Link, keys: Keys, bond: Bond, *, retry_seconds: float = CHECK_AGAIN_SECONDS) -> None:
        self._link = link
        self._keys = keys
        self._bond = bond
        self._retry_seconds = retry_seconds
        self._linked = asyncio.Event()
        self._said: str | None = None
        self.passed = asyncio.Event()

    def linked(self) -> None:
        """The link has a new connection, or Redis has lost data under the old one: check again."""
        self._linked.set()

    async def run(self) -> None:
        """Check each connection until cancelled.

        Raises InstallationMismatchError and PartitionsMismatchError: this gateway must not work with this Redis.
        """
        while True:
            await self._linked.wait()
            self._linked.clear()
            while not await self._is_good():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._retry_seconds):
                        await self._linked.wait()

    async def _is_good(self) -> bool:
        """Check once; returns False when the check must be repeated."""
        try:
            is_compared = await self._is_compared()
            await installation.claim(self._link, self._keys)
            if not self.passed.is_set():
                for problem in await installation.problems(self._link):
                    log.warning("redis.unsafe", problem=problem.what, mend=problem.mend)
        except BrokerUnavailableError as error:
            if self._link.is_up:  # Redis loads its data, or takes no writes
                self._say(str(error), "wait, or let REDIS_URL lead to a Redis that takes writes")
            return False
        except PersistenceError as error:
            self._say(str(error), "run `seance migrate`")
            return False
        self.passed.set()
        return is_compared

    async def _is_compared(self) -> bool:
        try:
            await self._bond.check()
        except DatabaseUnavailableError as error:
            # Sessions that Redis holds go on without Postgres; the ids are compared as soon as it answers.
            self._say(str(error), "start Postgres")
            return False
        return True

    def _say(self, reason: str, mend: str) -> None:
        if reason != self._said:
            self._said = reason
            log.warning("installation.unchecked", reason=reason, mend=mend)
