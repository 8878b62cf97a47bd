"""Holds clients to the rates of joins, resumes, creations, password attempts and requests.

A gateway's own buckets come first and cost no round trip; then those in Redis, which all gateways share.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping

from broker.errors import BrokerError, RateLimitedError
from broker.limits.buckets import Bucket, Pace, SharedBuckets
from gateway.limits.own_buckets import OwnBuckets
from gateway.limits.rate import Rate

# No client waits longer for an answer about limits. Without an answer the gateway's own buckets decide.
ANSWER_SECONDS = 0.5


class Limiter:
    """The limits of one gateway with these rates, by name of the limit as in the metrics; `limited` counts refusals."""

    def __init__(
        self,
        shared: SharedBuckets,
        rates: Mapping[str, Rate],
        limited: Counter[str] | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._limited = Counter[str]() if limited is None else limited
        self._own = {what: OwnBuckets(rate) for what, rate in rates.items()}
        self._paces = {what: Pace.of(rate.per_second, rate.burst) for what, rate in rates.items()}
        self._answer_seconds = answer_seconds
        self._clock = clock

    async def spend(self, place: str, needs: Mapping[str, str]) -> None:
        """Take a token for each need (limit → subject), or none: then RateLimitedError says how long to wait.

        `place` is as for `SharedBuckets.spend`. When Redis does not answer, nobody is refused but by the gateway's own
        buckets.
        """
        now = self._clock()
        waits = {what: self._own[what].wait(subject, now) for what, subject in needs.items()}
        longest = max(waits, key=waits.__getitem__)
        if waits[longest] > 0:
            self._limited[longest] += 1
            raise RateLimitedError(longest, _milliseconds(waits[longest]))
        for what, subject in needs.items():
            self._own[what].spend(subject, now)
        buckets = [Bucket(what, subject, self._paces[what]) for what, subject in needs.items()]
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._shared.spend(place, buckets)
        except RateLimitedError as error:
            self._limited[error.what] += 1
            # Until then nobody has to ask Redis again.
            self._own[error.what].hold(needs[error.what], error.retry_after_ms / 1000, self._clock())
            raise
        except (BrokerError, TimeoutError):
            return


def _milliseconds(seconds: float) -> int:
    """Rounded up, so that a client that waits for so long does not come too early."""
    return -int(-seconds * 1000 // 1)
