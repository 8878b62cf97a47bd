"""The upkeep of the partition streams on a real Redis: trimming, lag, dead letters."""

from typing import Any

import pytest
from redis.asyncio import Redis

from broker.errors import BrokerError
from broker.keys import Keys
from broker.redis.link import Link
from broker.streams import dead_letters
from broker.streams.lag import lag
from broker.streams.partition_streams import PartitionStreams
from tests.stream_fixtures import message, publish, put, streams_over

P = 4
KEYS = Keys("seance", P)
SESSION = "5b0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a01"
HOME = KEYS.partition_of(SESSION)


@pytest.fixture
async def stream(stream_link: Link) -> PartitionStreams:
    """A source with its consumer groups."""
    stream = streams_over(stream_link, KEYS)
    await stream.prepare()
    return stream


async def fill(redis: Redis, count: int) -> None:
    """Publish so many messages of one session."""
    await publish(redis, KEYS, SESSION, *(message(SESSION, seq) for seq in range(1, count + 1)))


async def length(redis: Redis, partition: int = HOME) -> int:
    """How many entries the partition's stream holds."""
    return int(await redis.xlen(KEYS.events(partition)))


# Trimming


async def test_only_acknowledged_entries_are_trimmed(redis: Redis, stream: PartitionStreams) -> None:
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
async def test_entries_that_another_group_needs_are_kept(redis: Redis, stream: PartitionStreams, slower: int) -> None:
    """A second group that has read less, or acknowledged less, is waited for, whichever was made first."""
    await redis.xgroup_create(KEYS.events(HOME), "audit", id="0")
    await redis.xgroup_create(KEYS.events(HOME), "a-third", id="0")
    await fill(redis, 10)
    await stream.settle(await stream.read([HOME], 10, 1), [])
    read: Any = await redis.xreadgroup("audit", "one", {KEYS.events(HOME): ">"}, count=10)
    await redis.xreadgroup("a-third", "one", {KEYS.events(HOME): ">"}, count=10, noack=True)
    for entry_id, _ in read[KEYS.events(HOME).encode()][:slower]:
        await redis.xack(KEYS.events(HOME), "audit", entry_id)
    assert await stream.trim([HOME]) == slower
    assert await length(redis) == 10 - slower


async def test_entries_of_one_millisecond_are_told_apart(redis: Redis, stream: PartitionStreams) -> None:
    """Many entries with the same millisecond are cut exactly, not by their first digits."""
    for number in range(1, 13):
        await redis.xadd(KEYS.events(HOME), {"d": "x"}, id=f"1700000000000-{number}")
    entries = await stream.read([HOME], 12, 1)
    await stream.settle(entries[:9], [])
    assert await stream.trim([HOME]) == 9
    left: Any = await redis.xrange(KEYS.events(HOME), count=1)
    assert left[0][0] == b"1700000000000-10"


async def test_without_a_group_or_a_stream_no_entry_is_trimmed(redis: Redis, stream: PartitionStreams) -> None:
    """Entries without a group are kept for the group that will read them."""
    await redis.delete(KEYS.events(0), KEYS.events(1))
    await redis.xadd(KEYS.events(1), {"d": "x"})
    assert await stream.trim([0, 1]) == 0
    assert await length(redis, 1) == 1


# Lag


async def test_the_lag_counts_unacknowledged_entries(redis: Redis, stream_link: Link, stream: PartitionStreams) -> None:
    """Waiting and pending entries count, whatever is trimmed; other partitions have their own."""
    assert await lag(stream_link, KEYS) == dict.fromkeys(range(P), 0)
    await fill(redis, 10)
    assert (await lag(stream_link, KEYS))[HOME] == 10
    entries = await stream.read([HOME], 4, 1)
    assert (await lag(stream_link, KEYS))[HOME] == 10
    await stream.settle(entries[:3], [])
    await stream.trim([HOME])
    assert await lag(stream_link, KEYS) == {**dict.fromkeys(range(P), 0), HOME: 7}


async def test_before_the_first_worker_every_entry_is_lag(redis: Redis, stream_link: Link) -> None:
    """Without a group all entries wait; without a stream there are none; other groups do not count."""
    await fill(redis, 3)
    assert await lag(stream_link, KEYS) == {**dict.fromkeys(range(P), 0), HOME: 3}
    await redis.xgroup_create(KEYS.events(HOME), "audit", id="$")
    assert (await lag(stream_link, KEYS))[HOME] == 3


async def test_when_redis_can_not_tell_the_lag_every_entry_counts(
    redis: Redis, stream_link: Link, stream: PartitionStreams
) -> None:
    """After a deletion in the middle every entry in the stream counts, which is at most too much."""
    await fill(redis, 10)
    await stream.read([HOME], 2, 1)
    entries: Any = await redis.xrange(KEYS.events(HOME))
    await redis.xdel(KEYS.events(HOME), entries[5][0])
    assert (await lag(stream_link, KEYS))[HOME] == 9


async def test_the_lag_of_a_key_that_is_no_stream_is_an_error(redis: Redis, stream_link: Link) -> None:
    """A key of the wrong kind is said as it is."""
    await redis.set(KEYS.events(1), "mine")
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        await lag(stream_link, KEYS)


# Dead letters


async def test_a_dead_entry_keeps_its_fields_and_can_be_retried(
    redis: Redis, stream_link: Link, stream: PartitionStreams
) -> None:
    """A dead entry is acknowledged and listed with its reason; put back, it is read as it was."""
    await fill(redis, 2)
    first, second = await stream.read([HOME], 10, 1)
    await stream.dead_letter(first, "bad", 0)
    assert await stream.pending([HOME], 10) == [second]
    (found,) = await dead_letters.listed(stream_link, KEYS)
    assert (found.partition, found.entry_id, found.session_id) == (HOME, first.id.decode(), SESSION)
    assert (found.reason, found.fields) == ("bad", first.fields)
    assert await dead_letters.retry(stream_link, KEYS) == 1
    assert await dead_letters.listed(stream_link, KEYS) == []
    (again,) = await stream.read([HOME], 10, 1)
    assert (again.session_id, again.epoch, again.body) == (first.session_id, first.epoch, first.body)


async def test_dead_entries_are_chosen_by_name(redis: Redis, stream_link: Link, stream: PartitionStreams) -> None:
    """Only those named are put back or dropped; a name that is not there is none."""
    await fill(redis, 4)
    for entry in await stream.read([HOME], 10, 1):
        await stream.dead_letter(entry, "bad", 0)
    names = [found.name for found in await dead_letters.listed(stream_link, KEYS)]
    assert await dead_letters.drop(stream_link, KEYS, [names[1], "0:9-9"]) == 1
    assert await dead_letters.retry(stream_link, KEYS, [names[2]]) == 1
    assert [found.name for found in await dead_letters.listed(stream_link, KEYS)] == [names[0], names[3]]
    assert await dead_letters.drop(stream_link, KEYS) == 2
    assert await dead_letters.listed(stream_link, KEYS) == []


async def test_many_dead_entries_are_all_found(redis: Redis, stream_link: Link, stream: PartitionStreams) -> None:
    """The list goes through every partition and page, oldest first, and stops at its limit."""
    for number in range(230):
        await put(redis, number % 2, f"session-{number}", b"{}")
    for entry in await stream.read(range(P), 1000, 1):
        await stream.dead_letter(entry, "bad", 0)
    found = [one.session_id for one in await dead_letters.listed(stream_link, KEYS)]
    assert found == [f"session-{number}" for number in [*range(0, 230, 2), *range(1, 230, 2)]]
    assert [one.session_id for one in await dead_letters.listed(stream_link, KEYS, limit=3)] == found[:3]
