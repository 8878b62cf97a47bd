"""`spend.lua`, branch by branch."""

import pytest

from broker.errors import BrokerUnavailableError, RateLimitedError
from broker.limits.buckets import UNLIMITED, Bucket, Pace, SharedBuckets
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from tests.session_state import KEYS, PARTITION, full_memory, now_ms

PLACE = next(place for place in map(str, range(100)) if KEYS.partition_of(place) == PARTITION)
SLOW = Pace.of(0.01, 3)
JOINS = Bucket("joins", "203.0.113.7", SLOW)


@pytest.fixture
def buckets(scripts: Scripts) -> SharedBuckets:
    """The buckets, in an empty Redis."""
    return SharedBuckets(scripts, keys=KEYS)


async def spent(buckets: SharedBuckets, *wanted: Bucket, most: int = 20) -> tuple[int, RateLimitedError | None]:
    """How often these buckets could be spent from together, and the refusal that came then."""
    for count in range(most):
        try:
            await buckets.spend(PLACE, wanted)
        except RateLimitedError as error:
            return count, error
    return most, None


def test_a_pace_is_in_whole_microseconds() -> None:
    """The burst is exactly as many tokens as it says, whatever the rate is rounded to."""
    assert Pace.of(20, 40) == Pace(50_000, 2_000_000)
    assert Pace.of(6, 10) == Pace(166_667, 1_666_670)
    assert Pace.of(0, 0) == UNLIMITED


async def test_a_bucket_has_its_burst_and_then_its_rate(buckets: SharedBuckets) -> None:
    """After the burst the wait for the next token is told; a refusal takes nothing."""
    count, error = await spent(buckets, JOINS)
    assert (count, error and error.what) == (3, "joins")
    assert 90_000 < (error.retry_after_ms if error else 0) <= 100_000
    _, again = await spent(buckets, JOINS)
    assert again is not None
    assert again.retry_after_ms <= (error.retry_after_ms if error else 0)


async def test_a_bucket_fills_at_its_rate(buckets: SharedBuckets, link: Link) -> None:
    """Who waits as long as told gets one token: the time passes by moving what the bucket remembers."""
    _, error = await spent(buckets, JOINS)
    assert error is not None
    key = KEYS.bucket(PARTITION, "joins", "203.0.113.7")
    await link.call("DECRBY", key, error.retry_after_ms * 1000)
    assert (await spent(buckets, JOINS))[0] == 1


async def test_several_buckets_are_spent_from_together_or_not_at_all(buckets: SharedBuckets) -> None:
    """One empty bucket leaves the others as they are, and is named; of two the one with the longer wait is named."""
    small, large = Bucket("attempts", "a", Pace.of(0.01, 2)), Bucket("attempts_session", "s", Pace.of(0.001, 5))
    count, error = await spent(buckets, small, large)
    assert (count, error and error.what) == (2, "attempts")
    count, error = await spent(buckets, large)
    assert (count, error and error.what) == (3, "attempts_session")
    _, error = await spent(buckets, small, large)
    assert error is not None
    assert error.what == "attempts_session"


async def test_a_bucket_is_forgotten_when_it_is_full(buckets: SharedBuckets, link: Link) -> None:
    """Nothing stays in Redis of a subject that comes no more."""
    await buckets.spend(PLACE, [JOINS])
    [name] = await link.call("KEYS", "*")
    assert name.decode() == KEYS.bucket(PARTITION, "joins", "203.0.113.7")
    assert 99_000 < await link.call("PTTL", name) <= 100_000


async def test_without_a_limit_redis_is_not_asked(buckets: SharedBuckets, link: Link) -> None:
    """A bucket without a limit is left out, and costs no key."""
    await buckets.spend(PLACE, [Bucket("reads", "a", UNLIMITED)])
    await buckets.spend(PLACE, [Bucket("reads", "a", UNLIMITED), JOINS])
    assert len(await link.call("KEYS", "*")) == 1


async def test_a_clock_that_was_set_back_empties_a_bucket_at_worst(buckets: SharedBuckets, link: Link) -> None:
    """A bucket that would be full in an hour only, since the clock went back by that, is full after its usual time."""
    key = KEYS.bucket(PARTITION, "joins", "203.0.113.7")
    await link.call("SET", key, (now_ms() + 3_600_000) * 1000)
    _, error = await spent(buckets, JOINS)
    assert error is not None
    assert error.retry_after_ms <= 100_000


async def test_a_full_memory_is_told_as_redis_being_away(buckets: SharedBuckets, link: Link) -> None:
    """The caller decides what that means."""
    async with full_memory(link):
        with pytest.raises(BrokerUnavailableError):
            await buckets.spend(PLACE, [JOINS])
