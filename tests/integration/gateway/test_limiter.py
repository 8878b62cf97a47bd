"""The limiter: a gateway's own buckets first, then those that all gateways share."""

from collections.abc import Callable

import pytest

from broker.errors import RateLimitedError
from broker.limits.buckets import SharedBuckets
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from gateway.limits.limiter import Limiter
from gateway.limits.rate import UNLIMITED, Rate
from tests.redis_server import RedisServer
from tests.session_state import KEYS, kept

RATES = {"joins": Rate(0.01, 3), "resumes": Rate(0.01, 2), "reads": UNLIMITED}
ADDRESS, USER = "203.0.113.7", "ana"


class Clock:
    """The gateway's clock, which the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


@pytest.fixture
def limiter_of(scripts: Scripts) -> Callable[[], Limiter]:
    """Makes the limiter of another gateway on the same Redis."""
    return lambda: Limiter(SharedBuckets(scripts, keys=KEYS), RATES, clock=Clock(), answer_seconds=60)


async def spent(limiter: Limiter, *whats: str, most: int = 10) -> tuple[int, str | None]:
    """How often the limiter let a client through, and the limit that then refused."""
    subjects = {"joins": ADDRESS, "resumes": USER, "reads": ADDRESS}
    for count in range(most):
        try:
            await limiter.spend(ADDRESS, {what: subjects[what] for what in whats})
        except RateLimitedError as error:
            return count, error.what
    return most, None


async def test_two_gateways_share_the_buckets(limiter_of: Callable[[], Limiter]) -> None:
    """What a client has spent at one gateway is gone at the other."""
    one, other = limiter_of(), limiter_of()
    assert await spent(one, "joins", most=2) == (2, None)
    assert await spent(other, "joins") == (1, "joins")


async def test_an_empty_bucket_of_the_gateway_costs_no_round_trip(
    limiter_of: Callable[[], Limiter], link: Link
) -> None:
    """A refusal that the gateway can decide itself, or has heard from Redis, does not go to Redis again."""
    one, other = limiter_of(), limiter_of()
    assert await spent(one, "joins") == (3, "joins")
    assert await spent(other, "joins") == (0, "joins")
    await link.call("FLUSHALL")  # now Redis would let the client through
    assert await spent(one, "joins") == (0, "joins")
    assert await spent(other, "joins") == (0, "joins")


async def test_of_two_limits_the_smaller_one_is_named(limiter_of: Callable[[], Limiter]) -> None:
    """Both are spent from, or none."""
    limiter = limiter_of()
    assert await spent(limiter, "joins", "resumes") == (2, "resumes")
    assert await spent(limiter, "joins") == (1, "joins")


async def test_a_limit_of_zero_is_none(limiter_of: Callable[[], Limiter], link: Link) -> None:
    """Without a limit nobody is refused, and Redis is not asked."""
    assert await spent(limiter_of(), "reads") == (10, None)
    assert await link.call("DBSIZE") == 0


async def test_without_redis_the_gateway_s_own_buckets_hold(server: RedisServer) -> None:
    """A Redis that is away or hangs refuses nobody; the gateway goes on by itself."""
    link = Link(server.url)
    limiter = Limiter(SharedBuckets(Scripts(link), keys=KEYS), RATES, clock=Clock(), answer_seconds=0.05)
    assert await spent(limiter, "joins") == (3, "joins")
    async with kept(link.keeper):
        server.pause()
        assert await spent(limiter, "resumes") == (2, "resumes")
        server.resume()
