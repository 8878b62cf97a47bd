"""The leases of workers on a real Redis: one owner for each partition, fair shares, nothing held when in doubt."""

from redis.asyncio import Redis

from broker import keys
from broker.streams.ownership import Ownership
from tests.stream_fixtures import until

P = 4
SESSION = "5b0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a01"
HOME = keys.partition_of(SESSION, P)


async def test_a_partition_has_one_owner(redis: Redis) -> None:
    """Who comes second gets nothing, until the first releases it."""
    first, second = (Ownership(redis, worker_id=name, partitions=P) for name in ("a", "b"))
    assert await first.take([0, 1]) == {0, 1}
    assert await second.take([0, 1, 2]) == {2}
    await second.release([0])
    assert await redis.get(keys.owner(0)) == b"a"
    await first.release([0])
    assert await second.take([0, 1]) == {0}


async def test_a_worker_that_came_back_has_its_own_at_once(redis: Redis) -> None:
    """The lease of the process before it, under the same name, does not keep it waiting."""
    await Ownership(redis, worker_id="a", partitions=P).take([0, 1])
    assert await Ownership(redis, worker_id="a", partitions=P).take(range(P)) == set(range(P))


async def test_leases_are_prolonged_and_announced(redis: Redis) -> None:
    """Renewing keeps the leases and the presence in Redis, by the clock of Redis."""
    owner = Ownership(redis, worker_id="a", partitions=P, lease_ms=10_000)
    await owner.take([0])
    await redis.pexpire(keys.owner(0), 500)
    await owner.renew()
    assert 9_000 < await redis.pttl(keys.owner(0)) <= 10_000
    now_ms = (await redis.time())[0] * 1000
    assert 8_000 < (await redis.zscore(keys.WORKERS, "a") or 0) - now_ms <= 11_000
    assert owner.planned == range(4)
    assert owner.held == {0}


async def test_a_lost_lease_is_noticed_and_not_taken_back(redis: Redis) -> None:
    """What expired, or belongs to another now, is no longer held after the next renewal."""
    owner = Ownership(redis, worker_id="a", partitions=P)
    await owner.take([0, 1, 2])
    await redis.delete(keys.owner(0))
    await redis.set(keys.owner(1), "b")
    await owner.renew()
    assert owner.held == {2}
    assert await redis.get(keys.owner(0)) is None
    assert await redis.get(keys.owner(1)) == b"b"


async def test_without_renewal_nothing_is_held(redis: Redis) -> None:
    """A process that was stopped for longer than its lease holds nothing until it has looked."""
    owner = Ownership(redis, worker_id="a", partitions=P, lease_ms=50)
    assert not owner.is_current
    await owner.take([0])
    assert owner.held == frozenset()
    await owner.renew()
    assert owner.held == {0}
    await until(lambda: _lapsed(owner), what="a lease that has passed")
    assert owner.held == frozenset()


async def _lapsed(owner: Ownership) -> bool:
    return not owner.is_current


async def test_the_dead_are_not_counted(redis: Redis) -> None:
    """Shares follow who is announced now: the expired are forgotten, those who leave at once."""
    await redis.zadd(keys.WORKERS, {"0-dead": 1})
    first, second = (Ownership(redis, worker_id=name, partitions=P) for name in ("a", "b"))
    await first.renew()
    assert first.planned == range(4)
    await second.renew()
    await first.renew()
    assert (first.planned, second.planned) == (range(2), range(2, 4))
    await second.take([2, 3])
    await second.leave()
    assert await redis.zrange(keys.WORKERS, 0, -1) == [b"a"]
    await first.renew()
    assert await first.take(first.planned) == set(range(4))
