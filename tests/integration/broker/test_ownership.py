"""The leases of workers on a real Redis: one owner for each partition, fair shares, no lease held when in doubt."""

from redis.asyncio import Redis

from broker.keys import Keys
from broker.redis.link import Link
from broker.redis.scripts import WORKER_SCRIPTS, Scripts
from broker.streams.ownership import LEASE_MS, Ownership
from tests.waiting import eventually

P = 4
KEYS = Keys("seance", P)
SESSION = "5b0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a01"
HOME = KEYS.partition_of(SESSION)


def worker(link: Link, worker_id: str, *, lease_ms: int = LEASE_MS) -> Ownership:
    """The leases of a worker with this id."""
    return Ownership(link, Scripts(link, WORKER_SCRIPTS), worker_id=worker_id, keys=KEYS, lease_ms=lease_ms)


async def test_a_partition_has_one_owner(redis: Redis, stream_link: Link) -> None:
    """The second worker gets no partition of the first, until the first releases it."""
    first, second = (worker(stream_link, name) for name in ("a", "b"))
    assert await first.take([0, 1]) == {0, 1}
    assert await second.take([0, 1, 2]) == {2}
    await second.release([0])
    assert await redis.get(KEYS.owner(0)) == b"a"
    await first.release([0])
    assert await second.take([0, 1]) == {0}


async def test_a_restarted_worker_takes_its_partitions_at_once(stream_link: Link) -> None:
    """The lease of the process before it, under the same name, does not keep it waiting."""
    await worker(stream_link, "a").take([0, 1])
    assert await worker(stream_link, "a").take(range(P)) == set(range(P))


async def test_leases_are_prolonged_and_announced(redis: Redis, stream_link: Link) -> None:
    """Renewing keeps the leases and the presence in Redis, by the clock of Redis."""
    owner = worker(stream_link, "a", lease_ms=10_000)
    await owner.take([0])
    await redis.pexpire(KEYS.owner(0), 500)
    await owner.renew()
    assert 9_000 < await redis.pttl(KEYS.owner(0)) <= 10_000
    now_ms = (await redis.time())[0] * 1000
    assert 8_000 < (await redis.zscore(KEYS.workers, "a") or 0) - now_ms <= 11_000
    assert owner.planned == range(4)
    assert owner.held == {0}


async def test_a_lost_lease_is_noticed_and_not_taken_back(redis: Redis, stream_link: Link) -> None:
    """A lease that expired, or belongs to another worker now, is no longer held after the next renewal."""
    owner = worker(stream_link, "a")
    await owner.take([0, 1, 2])
    await redis.delete(KEYS.owner(0))
    await redis.set(KEYS.owner(1), "b")
    await owner.renew()
    assert owner.held == {2}
    assert await redis.get(KEYS.owner(0)) is None
    assert await redis.get(KEYS.owner(1)) == b"b"


async def test_without_renewal_no_partition_is_held(stream_link: Link) -> None:
    """A process that was stopped for longer than its lease holds nothing until it has looked."""
    owner = worker(stream_link, "a", lease_ms=50)
    assert not owner.is_current
    await owner.take([0])
    assert owner.held == frozenset()
    await owner.renew()
    assert owner.held == {0}
    await eventually(lambda: _lapsed(owner), what="a lease that has passed")
    assert owner.held == frozenset()


async def _lapsed(owner: Ownership) -> bool:
    return not owner.is_current


async def test_dead_workers_get_no_share(redis: Redis, stream_link: Link) -> None:
    """Shares follow the announced workers: expired workers are forgotten, leaving workers at once."""
    await redis.zadd(KEYS.workers, {"0-dead": 1})
    first, second = (worker(stream_link, name) for name in ("a", "b"))
    await first.renew()
    assert first.planned == range(4)
    await second.renew()
    await first.renew()
    assert (first.planned, second.planned) == (range(2), range(2, 4))
    await second.take([2, 3])
    await second.leave()
    assert await redis.zrange(KEYS.workers, 0, -1) == [b"a"]
    await first.renew()
    assert await first.take(first.planned) == set(range(4))
