"""Token buckets in Redis, which all gateways share: one script spends from several buckets of one partition at once."""

import asyncio
from collections.abc import Sequence

import msgspec

from broker.errors import RateLimitedError
from broker.keys import Keys
from broker.redis.connection import Reply
from broker.redis.scripts import Scripts

_MICROSECONDS = 1_000_000


class Pace(msgspec.Struct, frozen=True):
    """A rate as the scripts take it: a bucket gets a token every `interval_us`, and all of its tokens in `burst_us`.

    Whole microseconds, so that no number has a fraction. Both are 0 when there is no limit.
    """

    interval_us: int = 0
    burst_us: int = 0

    @classmethod
    def of(cls, per_second: float, burst: int) -> "Pace":
        """The pace of `per_second` on average and `burst` at once; `per_second` 0 is no limit."""
        if per_second <= 0:
            return UNLIMITED
        interval_us = max(1, round(_MICROSECONDS / per_second))
        return cls(interval_us, burst * interval_us)


UNLIMITED = Pace()


class Bucket(msgspec.Struct, frozen=True):
    """The bucket of one subject (an address, a user, a token, …) for one limit, named as in the metrics."""

    what: str
    subject: str
    pace: Pace


class SharedBuckets:
    """The buckets of an installation."""

    def __init__(self, scripts: Scripts, *, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    def spend(self, place: str, buckets: Sequence[Bucket]) -> "asyncio.Future[None]":
        """Take a token from each bucket that has a limit, or none: then RateLimitedError says how long to wait.

        `place` decides about the partition that the buckets lie in: always give the same place for a bucket, such as
        its subject, or the session when several subjects belong to one. The command leaves now. Raises BrokerError
        when Redis does not answer; then nobody can say whether the tokens were taken.
        """
        limited = [bucket for bucket in buckets if bucket.pace.interval_us]
        if not limited:
            nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            nothing.set_result(None)
            return nothing
        partition = self._keys.partition_of(place)

        def read(reply: Reply) -> None:
            number, wait_ms = reply
            if number:
                raise RateLimitedError(limited[number - 1].what, wait_ms)

        return self._scripts.ask(
            read,
            "spend",
            [self._keys.bucket(partition, bucket.what, bucket.subject) for bucket in limited],
            *(number for bucket in limited for number in (bucket.pace.interval_us, bucket.pace.burst_us)),
        )
