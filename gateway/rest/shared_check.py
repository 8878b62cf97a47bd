"""Whether a server answers, asked at most once a second, however many requests for `/health` come."""

import asyncio
from collections.abc import Awaitable, Callable

from broker.errors import BrokerError
from persistence.errors import PersistenceError

CHECK_SECONDS = 1.0


class SharedCheck:
    """One server's check, whose result every caller of the same second shares.

    `ping` returns when the server answered, and raises PersistenceError or BrokerError when it can't be reached. A
    check takes `seconds` at most, and the next one begins `seconds` after it at the earliest.
    """

    def __init__(self, ping: Callable[[], Awaitable[None]], *, seconds: float = CHECK_SECONDS) -> None:
        self._ping = ping
        self._seconds = seconds
        self._check: asyncio.Task[bool] | None = None
        self._began_at = 0.0

    async def is_up(self) -> bool:
        """Whether the server answered when it was last asked, which may be now."""
        now = asyncio.get_running_loop().time()
        if self._check is None or (self._check.done() and now - self._began_at >= self._seconds):
            self._began_at = now
            self._check = asyncio.create_task(self._answers())
        # The check goes on for the other callers when the client of this one is gone.
        return await asyncio.shield(self._check)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                await self._ping()
        except (BrokerError, PersistenceError, TimeoutError):
            return False
        return True
