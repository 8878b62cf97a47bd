"""The worker's source on a real Redis: reading, settling, taking over, trimming, dead letters, leases."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from broker import client, dead, keys
from broker.errors import BrokerError, BrokerUnavailableError, PartitionsMismatchError
from broker.ownership import Ownership
from broker.stream import CONSUMER, Entry, Persisted, Stream, lag
from cluster.ports import free_port
from tests.services import Services
from tests.stored import EPOCH, empty_streams, message, publish, put, redis_on, until

P = 4
SESSION = "5b0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a01"
HOME = keys.partition_of(SESSION, P)


@pytest.fixture
async def redis(services: Services) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    async with redis_on(await empty_streams(services)) as redis:
        yield redis


@pytest.fixture
async def stream(redis: Redis) -> Stream:
    """A source with its consumer groups."""
    stream = Stream(redis, P)
    await stream.prepare()
    return stream


async def fill(redis: Redis, count: int) -> None:
    """Publish so many messages of one session."""
    await publish(redis, P, SESSION, *(message(SESSION, seq) for seq in range(1, count + 1)))


async def length(redis: Redis, partition: int = HOME) -> int:
    """How many entries the partition's stream holds."""
    return int(await redis.xlen(keys.events(partition)))


# Reading


async def test_entries_come_in_order_with_their_fields(redis: Redis, stream: Stream) -> None:
    """What was published comes out in order, with session, epoch and body."""
    await fill(redis, 5)
    entries = await stream.read([HOME], 3, 1)
    entries += await stream.read([HOME], 3, 1)
    assert [entry.partition for entry in entries] == [HOME] * 5
    assert {(entry.session_id, entry.epoch) for entry in entries} == {(SESSION, EPOCH)}
    assert [b'"seq":%d' % seq in entry.body for seq, entry in enumerate(entries, 1)] == [True] * 5
    assert await stream.read([HOME], 3, 1) == []


async def test_what_was_published_before_the_group_is_read(redis: Redis) -> None:
    """The group begins at the first entry, and making it again changes nothing."""
    await fill(redis, 2)
    stream = Stream(redis, P)
    await stream.prepare()
    await stream.prepare()
    assert len(await stream.read(range(P), 10, 1)) == 2


async def test_an_idle_read_is_no_outage(services: Services) -> None:
    """Waiting for an entry for longer than a command may take ends with nothing, not with an error."""
    redis = client.connect(await empty_streams(services), timeout_seconds=0.5, name="test")
    stream = Stream(redis, P)
    await stream.prepare()
    assert await stream.read(range(P), 10, 300) == []
    await redis.aclose()


async def test_a_read_ends_with_the_first_entry(redis: Redis, stream: Stream) -> None:
    """A waiting read comes back as soon as something is published."""
    reading = asyncio.create_task(stream.read(range(P), 10, 10_000))
    await until(lambda: _is_blocked(redis), what="a blocked reader")
    await fill(redis, 1)
    async with asyncio.timeout(5):
        assert len(await reading) == 1


async def _is_blocked(redis: Redis) -> bool:
    return bool((await redis.info("clients"))["blocked_clients"])


async def test_an_entry_of_another_make_has_empty_fields(redis: Redis, stream: Stream) -> None:
    """An entry without our fields, or with bytes that are no text, is delivered as it is."""
    await redis.xadd(keys.events(HOME), {b"s": b"\xff", b"x": b"y"})
    (entry,) = await stream.read([HOME], 10, 1)
    assert (entry.session_id, entry.epoch, entry.body) == ("\ufffd", "", b"")
    assert entry.fields == {b"s": b"\xff", b"x": b"y"}


async def test_another_number_of_partitions_is_refused(redis: Redis, stream: Stream) -> None:
    """A worker with another PARTITIONS would miss events; it is told which number is right."""
    assert await redis.get(keys.PARTITIONS) == b"4"
    with pytest.raises(PartitionsMismatchError, match="PARTITIONS=4"):
        await Stream(redis, 8).prepare()
    await stream.prepare()


async def test_a_stream_that_is_none_is_an_error(redis: Redis) -> None:
    """When a key is taken by something else, starting says so."""
    await redis.set(keys.events(1), "mine")
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        await Stream(redis, P).prepare()


async def test_lost_data_is_noticed(redis: Redis, stream: Stream) -> None:
    """When Redis lost the groups, reading says unavailable; prepared again, it works on."""
    await redis.flushdb()
    with pytest.raises(BrokerUnavailableError, match="group is gone"):
        await stream.read(range(P), 10, 1)
    await stream.prepare()
    await fill(redis, 1)
    assert len(await stream.read(range(P), 10, 1)) == 1


async def test_a_redis_that_is_away_is_unavailable() -> None:
    """Every call says that Redis can't be reached, and no driver's error gets out."""
    redis = client.connect(f"redis://127.0.0.1:{free_port()}/0", timeout_seconds=1, name="test")
    stream, ownership = Stream(redis, P), Ownership(redis, worker_id="a", partitions=P)
    entry = Entry(0, b"1-0", SESSION, EPOCH, b"", {})
    for work in (
        stream.prepare(),
        stream.claim([0]),
        stream.pending([0], 1),
        stream.read([0], 1, 1),
        stream.settle([entry], []),
        stream.bury(entry, "bad"),
        stream.trim([0]),
        lag(redis, P),
        dead.listed(redis, P),
        ownership.renew(),
        ownership.take([0]),
        ownership.leave(),
    ):
        with pytest.raises(BrokerUnavailableError):
            await work
    await redis.aclose()


# Settling and taking over


async def test_what_is_not_acknowledged_stays_pending(redis: Redis, stream: Stream) -> None:
    """Entries that were read come again from `pending` until they are settled, also to another process."""
    await fill(redis, 5)
    entries = await stream.read([HOME], 10, 1)
    assert await Stream(redis, P).pending(range(P), 10) == entries
    await stream.settle(entries[:3], [])
    assert await stream.pending(range(P), 10) == entries[3:]
    await stream.settle(entries[3:], [])
    assert await stream.pending(range(P), 10) == []


async def test_what_other_consumers_left_is_claimed(redis: Redis, stream: Stream) -> None:
    """Whatever a dead worker called itself, and however much it left, its successor finds all of it in order."""
    await fill(redis, 2500)
    for name, count in (("old-1", 1200), ("old-2", 1300)):
        await redis.xreadgroup(keys.GROUP, name, {keys.events(HOME): ">"}, count=count)
    assert await stream.pending([HOME], 10_000) == []
    await stream.claim(range(P))
    entries = await stream.pending([HOME], 10_000)
    assert len(entries) == 2500
    assert [entry.id for entry in entries] == sorted((entry.id for entry in entries), key=_order)
    assert [
        found["name"] for found in await redis.xinfo_consumers(keys.events(HOME), keys.GROUP) if found["pending"]
    ] == [CONSUMER.encode()]


def _order(entry_id: bytes) -> tuple[int, ...]:
    return tuple(int(part) for part in entry_id.split(b"-"))


async def _hot(redis: Redis, session_id: str, **fields: Any) -> str:
    key = keys.session(keys.partition_of(session_id, P), session_id)
    await redis.hset(key, mapping={"epoch": EPOCH, "persisted": 5, **fields})
    return key


@pytest.mark.parametrize(
    ("fields", "mark", "expected"),
    [
        ({}, (EPOCH, 9), b"9"),
        ({}, (EPOCH, 10), b"10"),
        ({}, (EPOCH, 5), b"5"),
        ({}, (EPOCH, 3), b"5"),
        ({}, ("other", 9), b"5"),
        ({"persisted": 99}, (EPOCH, 100), b"100"),
    ],
)
async def test_the_watermark_only_moves_forward_in_its_epoch(
    redis: Redis, stream: Stream, fields: dict[str, Any], mark: tuple[str, int], expected: bytes
) -> None:
    """A lower seq, or one of an earlier life of the session, leaves the watermark alone."""
    key = await _hot(redis, SESSION, **fields)
    await stream.settle([], [Persisted(HOME, SESSION, *mark)])
    assert await redis.hget(key, "persisted") == expected


async def test_the_watermark_of_a_session_that_went_cold_is_not_kept(redis: Redis, stream: Stream) -> None:
    """Without hot state nothing is created."""
    await stream.settle([], [Persisted(HOME, SESSION, EPOCH, 9)])
    assert not await redis.exists(keys.session(HOME, SESSION))


async def test_a_first_watermark_is_set(redis: Redis, stream: Stream) -> None:
    """A session whose hash has no watermark yet gets one, each with its own."""
    others = [f"session-{number}" for number in range(20)]
    for session_id in others:
        await redis.hdel(await _hot(redis, session_id), "persisted")
    marks = [Persisted(keys.partition_of(one, P), one, EPOCH, number) for number, one in enumerate(others, 1)]
    await stream.settle([], marks)
    found = [await redis.hget(keys.session(mark.partition, mark.session_id), "persisted") for mark in marks]
    assert found == [b"%d" % number for number in range(1, 21)]


# Trimming


async def test_only_what_is_acknowledged_is_trimmed(redis: Redis, stream: Stream) -> None:
    """The stream is cut below the first entry that is pending or not yet delivered."""
    await fill(redis, 10)
    assert await stream.trim(range(P)) == 0
    entries = await stream.read([HOME], 6, 1)
    assert await stream.trim(range(P)) == 0
    await stream.settle(entries[:2] + entries[3:], [])
    assert await stream.trim(range(P)) == 2
    await stream.settle(entries[2:3], [])
    assert await stream.trim(range(P)) == 4
    assert await length(redis) == 4
    await stream.settle(await stream.read([HOME], 10, 1), [])
    assert await stream.trim(range(P)) == 4
    assert await length(redis) == 0


@pytest.mark.parametrize("slower", [0, 3, 10])
async def test_every_group_keeps_what_it_needs(redis: Redis, stream: Stream, slower: int) -> None:
    """A second group that has read less, or acknowledged less, is waited for, whichever was made first."""
    await redis.xgroup_create(keys.events(HOME), "audit", id="0")
    await redis.xgroup_create(keys.events(HOME), "a-third", id="0")
    await fill(redis, 10)
    await stream.settle(await stream.read([HOME], 10, 1), [])
    read = await redis.xreadgroup("audit", "one", {keys.events(HOME): ">"}, count=10)
    await redis.xreadgroup("a-third", "one", {keys.events(HOME): ">"}, count=10, noack=True)
    for entry_id, _ in read[keys.events(HOME).encode()][:slower]:
        await redis.xack(keys.events(HOME), "audit", entry_id)
    assert await stream.trim([HOME]) == slower
    assert await length(redis) == 10 - slower


async def test_entries_of_one_millisecond_are_told_apart(redis: Redis, stream: Stream) -> None:
    """Many entries with the same millisecond are cut exactly, not by their first digits."""
    for number in range(1, 13):
        await redis.xadd(keys.events(HOME), {"d": "x"}, id=f"1700000000000-{number}")
    entries = await stream.read([HOME], 12, 1)
    await stream.settle(entries[:9], [])
    assert await stream.trim([HOME]) == 9
    (first, *_) = await redis.xrange(keys.events(HOME), count=1)
    assert first[0] == b"1700000000000-10"


async def test_without_a_group_or_a_stream_nothing_is_trimmed(redis: Redis, stream: Stream) -> None:
    """What no group has asked for yet is kept for the one that will."""
    await redis.delete(keys.events(0), keys.events(1))
    await redis.xadd(keys.events(1), {"d": "x"})
    assert await stream.trim([0, 1]) == 0
    assert await length(redis, 1) == 1


# Lag


async def test_the_lag_is_what_is_not_acknowledged(redis: Redis, stream: Stream) -> None:
    """Waiting and pending entries count, whatever is trimmed; other partitions have their own."""
    assert await lag(redis, P) == dict.fromkeys(range(P), 0)
    await fill(redis, 10)
    assert (await lag(redis, P))[HOME] == 10
    entries = await stream.read([HOME], 4, 1)
    assert (await lag(redis, P))[HOME] == 10
    await stream.settle(entries[:3], [])
    await stream.trim([HOME])
    assert await lag(redis, P) == {**dict.fromkeys(range(P), 0), HOME: 7}


async def test_before_the_first_worker_everything_is_lag(redis: Redis) -> None:
    """Without a group all entries wait; without a stream there are none; other groups do not count."""
    await fill(redis, 3)
    assert await lag(redis, P) == {**dict.fromkeys(range(P), 0), HOME: 3}
    await redis.xgroup_create(keys.events(HOME), "audit", id="$")
    assert (await lag(redis, P))[HOME] == 3


async def test_when_redis_can_not_tell_the_lag_everything_counts(redis: Redis, stream: Stream) -> None:
    """After a deletion in the middle the lag is what is there, at most too much."""
    await fill(redis, 10)
    await stream.read([HOME], 2, 1)
    entries = await redis.xrange(keys.events(HOME))
    await redis.xdel(keys.events(HOME), entries[5][0])
    assert (await lag(redis, P))[HOME] == 9


async def test_a_lag_of_what_is_no_stream_is_an_error(redis: Redis) -> None:
    """A key of the wrong kind is said as it is."""
    await redis.set(keys.events(1), "mine")
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        await lag(redis, P)


# Dead letters


async def test_a_dead_entry_keeps_its_fields_and_can_be_retried(redis: Redis, stream: Stream) -> None:
    """Buried, an entry is acknowledged and listed with its reason; put back, it is read as it was."""
    await fill(redis, 2)
    first, second = await stream.read([HOME], 10, 1)
    await stream.bury(first, "bad")
    assert await stream.pending([HOME], 10) == [second]
    (found,) = await dead.listed(redis, P)
    assert (found.partition, found.entry_id, found.session_id) == (HOME, first.id.decode(), SESSION)
    assert (found.reason, found.fields) == ("bad", first.fields)
    assert await dead.retry(redis, P) == 1
    assert await dead.listed(redis, P) == []
    (again,) = await stream.read([HOME], 10, 1)
    assert (again.session_id, again.epoch, again.body) == (first.session_id, first.epoch, first.body)


async def test_dead_entries_are_chosen_by_name(redis: Redis, stream: Stream) -> None:
    """Only those named are put back or dropped; a name that is not there is none."""
    await fill(redis, 4)
    for entry in await stream.read([HOME], 10, 1):
        await stream.bury(entry, "bad")
    names = [found.name for found in await dead.listed(redis, P)]
    assert await dead.drop(redis, P, [names[1], "0:9-9"]) == 1
    assert await dead.retry(redis, P, [names[2]]) == 1
    assert [found.name for found in await dead.listed(redis, P)] == [names[0], names[3]]
    assert await dead.drop(redis, P) == 2
    assert await dead.listed(redis, P) == []


async def test_many_dead_entries_are_all_found(redis: Redis, stream: Stream) -> None:
    """The list goes through every partition and page, oldest first, and stops at its limit."""
    for number in range(230):
        await put(redis, number % 2, f"session-{number}", b"{}")
    for entry in await stream.read(range(P), 1000, 1):
        await stream.bury(entry, "bad")
    found = [one.session_id for one in await dead.listed(redis, P)]
    assert found == [f"session-{number}" for number in [*range(0, 230, 2), *range(1, 230, 2)]]
    assert [one.session_id for one in await dead.listed(redis, P, limit=3)] == found[:3]


# Leases


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
    assert 8_000 < await redis.zscore(keys.WORKERS, "a") - now_ms <= 11_000
    assert (owner.planned, owner.held) == (range(4), {0})


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
