"""How many sockets one address may have on all gateways: this gateway's own count first, then that of all in Redis."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from broker.errors import BrokerError
from broker.limits.sockets import KEPT_SECONDS, SocketCounts
from broker.redis.futures import ignore_result
from gateway.errors import ApiError
from gateway.limits.addresses import subject_of

# Without an answer of Redis in this time the gateway's own count decides.
ANSWER_SECONDS = 0.5
RETRY_AFTER_MS = 5000
# Every count is written again so often, so that Redis does not forget the counts of a quiet address.
REFRESH_SECONDS = KEPT_SECONDS / 5
_AT_ONCE = 100


class AddressSockets:
    """Counts by address, IPv6 by /64 (gateway/limits/addresses.py); at most `most` for each, 0 for any number.

    A socket counts from the start of its upgrade. `limited` counts the refusals. A count in Redis belongs to the
    gateway's lease and ends with it.
    """

    def __init__(
        self, counts: SocketCounts, most: int, limited: Counter[str], *, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._counts = counts
        self._most = most
        self._limited = limited
        self._answer_seconds = answer_seconds
        self._own: Counter[str] = Counter()
        self._written: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def upgrading(self, address: str) -> AsyncIterator[None]:
        """Count a socket during its upgrade; afterwards `opened` must have counted the socket, if there is one.

        Raises ApiError 429.
        """
        if not self._most:
            yield
            return
        subject = subject_of(address)
        if self._own[subject] >= self._most:
            raise self._refused()
        self._own[subject] += 1
        try:
            await self._ask(subject, self._own[subject])
            yield
        finally:
            self._count_down(subject)

    def opened(self, address: str) -> None:
        """Count a socket that was opened."""
        if self._most:
            self._own[subject_of(address)] += 1

    def closed(self, address: str) -> None:
        """Uncount a socket that was closed."""
        if self._most:
            self._count_down(subject_of(address))

    async def run(self) -> None:
        """Write every count again from time to time, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            for number, subject in enumerate([*self._written], 1):
                if subject in self._written:
                    self._counts.write(subject, self._own[subject]).add_done_callback(ignore_result)
                if not number % _AT_ONCE:
                    await asyncio.sleep(0)

    async def _ask(self, subject: str, own: int) -> None:
        try:
            async with asyncio.timeout(self._answer_seconds):
                total = await self._counts.write(subject, own, most=self._most)
        except (BrokerError, TimeoutError):
            total = 0  # nobody is refused for lack of an answer
        if total > self._most:
            raise self._refused()
        self._written[subject] = own

    def _count_down(self, subject: str) -> None:
        self._own[subject] -= 1
        own = self._own[subject]
        if own < self._written.get(subject, 0):
            self._counts.lower(subject, own).add_done_callback(ignore_result)
            self._written[subject] = own
        if not own:
            del self._own[subject]
            self._written.pop(subject, None)

    def _refused(self) -> ApiError:
        self._limited["connections_per_address"] += 1
        message = f"more than {self._most} connections from this address"
        headers = {"Retry-After": str(RETRY_AFTER_MS // 1000)}
        return ApiError(429, "too_many_connections", message, headers=headers, retry_after_ms=RETRY_AFTER_MS)
