"""The worker's source on a real Redis: reading, settling, taking over."""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import OutOfMemoryError

from broker.errors import BrokerError, BrokerUnavailableError, PartitionsMismatchError
from broker.keys import GROUP, Keys
from broker.redis.link import Link
from broker.redis.scripts import WORKER_SCRIPTS, Scripts
from broker.streams import dead_letters
from broker.streams.lag import lag
from broker.streams.ownership import Ownership
from broker.streams.partition_streams import CONSUMER, Entry, PartitionStreams, Persisted
from cluster.process.ports import free_port
from tests.session_state import kept
from tests.stream_fixtures import EPOCH, full_memory, message, publish, streams_over
from tests.waiting import eventually

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


# Reading


async def test_entries_come_in_order_with_their_fields(redis: Redis, stream: PartitionStreams) -> None:
    """Published events come out in order, with session, epoch and body."""
    await fill(redis, 5)
    entries = await stream.read([HOME], 3, 1)
    entries += await stream.read([HOME], 3, 1)
    assert [entry.partition for entry in entries] == [HOME] * 5
    assert {(entry.session_id, entry.epoch) for entry in entries} == {(SESSION, EPOCH)}
    assert [b'"seq":%d' % seq in entry.body for seq, entry in enumerate(entries, 1)] == [True] * 5
    assert await stream.read([HOME], 3, 1) == []


async def test_entries_published_before_the_group_are_read(redis: Redis, stream_link: Link) -> None:
    """The group begins at the first entry, and making it again changes nothing."""
    await fill(redis, 2)
    stream = streams_over(stream_link, KEYS)
    await stream.prepare()
    await stream.prepare()
    assert len(await stream.read(range(P), 10, 1)) == 2


async def test_an_idle_read_is_no_outage(stream_url: str) -> None:
    """A read that waits for as long as a silent connection is asked for a sign of life ends with nothing."""
    link = Link(stream_url, timeout_seconds=0.5, watch_seconds=0.1)
    async with kept(link.keeper):
        stream = streams_over(link, KEYS)
        await stream.prepare()
        assert await stream.read(range(P), 10, 300) == []
        assert link.keeper.reconnects_total == 0


async def test_a_read_ends_with_the_first_entry(redis: Redis, stream: PartitionStreams) -> None:
    """A waiting read comes back as soon as something is published."""
    reading = asyncio.create_task(stream.read(range(P), 10, 10_000))
    await eventually(lambda: _is_blocked(redis), what="a blocked reader")
    await fill(redis, 1)
    async with asyncio.timeout(5):
        assert len(await reading) == 1


async def _is_blocked(redis: Redis) -> bool:
    return bool((await redis.info("clients"))["blocked_clients"])


async def test_an_entry_of_another_make_has_empty_fields(redis: Redis, stream: PartitionStreams) -> None:
    """An entry without our fields, or with bytes that are no text, is delivered as it is."""
    await redis.xadd(KEYS.events(HOME), {b"s": b"\xff", b"x": b"y"})
    (entry,) = await stream.read([HOME], 10, 1)
    assert (entry.session_id, entry.epoch, entry.body) == ("\ufffd", "", b"")
    assert entry.fields == {b"s": b"\xff", b"x": b"y"}


async def test_another_number_of_partitions_is_refused(
    redis: Redis, stream_link: Link, stream: PartitionStreams
) -> None:
    """A worker with another PARTITIONS would miss events; it is told which number is right."""
    assert await redis.get(KEYS.claim) == b"4"
    with pytest.raises(PartitionsMismatchError, match="PARTITIONS=4"):
        await streams_over(stream_link, Keys("seance", 8)).prepare()
    await stream.prepare()


async def test_a_key_that_is_no_stream_is_an_error(redis: Redis, stream_link: Link) -> None:
    """When a key is taken by something else, starting says so."""
    await redis.set(KEYS.events(1), "mine")
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        await streams_over(stream_link, KEYS).prepare()


async def test_lost_data_is_noticed(redis: Redis, stream: PartitionStreams) -> None:
    """When Redis lost the groups, reading says unavailable; prepared again, it works on."""
    await redis.flushdb()
    with pytest.raises(BrokerUnavailableError, match="group is gone"):
        await stream.read(range(P), 10, 1)
    await stream.prepare()
    await fill(redis, 1)
    assert len(await stream.read(range(P), 10, 1)) == 1


async def test_a_redis_that_is_away_is_unavailable() -> None:
    """Every call says that Redis can't be reached, and no driver's error gets out."""
    link = Link(f"redis://127.0.0.1:{free_port()}/0", timeout_seconds=1, name="test")
    stream = streams_over(link, KEYS)
    ownership = Ownership(link, Scripts(link, WORKER_SCRIPTS), worker_id="a", keys=KEYS)
    entry = Entry(0, b"1-0", SESSION, EPOCH, b"", {})
    for work in (
        stream.prepare(),
        stream.claim([0]),
        stream.pending([0], 1),
        stream.read([0], 1, 1),
        stream.settle([entry], []),
        stream.dead_letter(entry, "bad", 0),
        stream.trim([0]),
        lag(link, KEYS),
        dead_letters.listed(link, KEYS),
        dead_letters.retry(link, KEYS),
        dead_letters.drop(link, KEYS),
        ownership.renew(),
        ownership.take([0]),
        ownership.leave(),
    ):
        with pytest.raises(BrokerUnavailableError):
            await work


# Settling and taking over


async def test_an_unacknowledged_entry_stays_pending(redis: Redis, stream_link: Link, stream: PartitionStreams) -> None:
    """Entries that were read come again from `pending` until they are settled, also to another process."""
    await fill(redis, 5)
    entries = await stream.read([HOME], 10, 1)
    assert await streams_over(stream_link, KEYS).pending(range(P), 10) == entries
    await stream.settle(entries[:3], [])
    assert await stream.pending(range(P), 10) == entries[3:]
    await stream.settle(entries[3:], [])
    assert await stream.pending(range(P), 10) == []


async def test_entries_of_other_consumers_are_claimed(redis: Redis, stream: PartitionStreams) -> None:
    """A successor finds every entry that dead workers left, under any name and in any number, in order."""
    await fill(redis, 2500)
    for name, count in (("old-1", 1200), ("old-2", 1300)):
        await redis.xreadgroup(GROUP, name, {KEYS.events(HOME): ">"}, count=count)
    assert await stream.pending([HOME], 10_000) == []
    await stream.claim(range(P))
    entries = await stream.pending([HOME], 10_000)
    assert len(entries) == 2500
    assert [entry.id for entry in entries] == sorted((entry.id for entry in entries), key=_order)
    consumers = await redis.xinfo_consumers(KEYS.events(HOME), GROUP)
    assert {found["name"] for found in consumers if found["pending"]} == {CONSUMER.encode()}


def _order(entry_id: bytes) -> tuple[int, ...]:
    return tuple(int(part) for part in entry_id.split(b"-"))


async def _hot(redis: Redis, session_id: str, persisted: int = 5) -> str:
    key = KEYS.session(KEYS.partition_of(session_id), session_id)
    await redis.hset(key, mapping={"epoch": EPOCH, "persisted": persisted})
    return key


@pytest.mark.parametrize(
    ("persisted", "mark", "expected"),
    [
        (5, (EPOCH, 9), b"9"),
        (5, (EPOCH, 10), b"10"),
        (5, (EPOCH, 5), b"5"),
        (5, (EPOCH, 3), b"5"),
        (5, ("other", 9), b"5"),
        (99, (EPOCH, 100), b"100"),
    ],
)
async def test_the_watermark_only_moves_forward_in_its_epoch(
    redis: Redis, stream: PartitionStreams, persisted: int, mark: tuple[str, int], expected: bytes
) -> None:
    """A lower seq, or one of an earlier life of the session, leaves the watermark alone."""
    key = await _hot(redis, SESSION, persisted)
    await stream.settle([], [Persisted(HOME, SESSION, *mark)])
    assert await redis.hget(key, "persisted") == expected


@pytest.mark.parametrize(("persisted", "is_trimmed"), [(499, False), (500, True)])
async def test_a_log_that_grew_while_postgres_was_away_is_trimmed(
    redis: Redis, stream: PartitionStreams, persisted: int, is_trimmed: bool
) -> None:
    """When at least 64 events are committed at once, the log loses what it need not hold any more."""
    key = await _hot(redis, SESSION, persisted=436)
    await redis.hset(key, mapping={"seq": 500, "log_events": 16, "log_bytes": 1 << 20})
    add = "for i = 100, 500 do redis.call('XADD', KEYS[1], i .. '-0', 'p', 'x') end"
    await redis.eval(add, 1, KEYS.log(HOME, SESSION))
    await stream.settle([], [Persisted(HOME, SESSION, EPOCH, persisted)])
    assert (await redis.xlen(KEYS.log(HOME, SESSION)) < 401) == is_trimmed


async def test_entries_are_settled_and_the_watermark_moves_with_a_full_memory(
    redis: Redis, stream: PartitionStreams
) -> None:
    """With a full memory entries are acknowledged, and their watermark moves with them, so that an ack is not lost."""
    key = await _hot(redis, SESSION)
    await fill(redis, 9)
    entries = await stream.read([HOME], 10, 1)
    async with full_memory(redis):
        with pytest.raises(OutOfMemoryError):
            await redis.set("anything", 1)
        await stream.settle(entries, [Persisted(HOME, SESSION, EPOCH, 9)])
    assert await stream.pending(range(P), 10) == []
    assert await redis.hget(key, "persisted") == b"9"


async def test_a_large_batch_is_settled(redis: Redis, stream: PartitionStreams) -> None:
    """A batch of any size the settings allow is settled in one step."""
    add = "for _ = 1, 10000 do redis.call('XADD', KEYS[1], '*', 'd', 'x') end"
    await redis.eval(add, 1, KEYS.events(HOME))
    entries = await stream.read([HOME], 10_000, 1)
    await stream.settle(entries, [])
    assert await stream.pending([HOME], 1) == []


async def test_the_watermark_of_a_session_that_went_cold_is_not_kept(redis: Redis, stream: PartitionStreams) -> None:
    """Without hot state nothing is created."""
    await stream.settle([], [Persisted(HOME, SESSION, EPOCH, 9)])
    assert not await redis.exists(KEYS.session(HOME, SESSION))


async def test_a_first_watermark_is_set(redis: Redis, stream: PartitionStreams) -> None:
    """A session whose hash has no watermark yet gets one, each with its own."""
    others = [f"session-{number}" for number in range(20)]
    for session_id in others:
        await redis.hdel(await _hot(redis, session_id), "persisted")
    marks = [Persisted(KEYS.partition_of(one), one, EPOCH, number) for number, one in enumerate(others, 1)]
    await stream.settle([], marks)
    found = [await redis.hget(KEYS.session(mark.partition, mark.session_id), "persisted") for mark in marks]
    assert found == [b"%d" % number for number in range(1, 21)]


@pytest.mark.parametrize(
    ("watch", "told"), [(None, []), (5, []), (6, [b"0 w -\n9"]), (9, [b"0 w -\n9"]), (20, [b"0 w -\n9"])]
)
async def test_the_channel_hears_of_a_watched_watermark(
    redis: Redis, stream: PartitionStreams, watch: int | None, told: list[bytes]
) -> None:
    """The new watermark is published only while a publisher waits for a seq above the old one."""
    key = await _hot(redis, SESSION)
    if watch is not None:
        await redis.hset(key, "watch", watch)
    async with redis.pubsub() as channel:
        await channel.subscribe(key)
        await stream.settle([], [Persisted(HOME, SESSION, EPOCH, 9)])
        await redis.publish(key, b"end")
        assert await _until_end(channel) == told


async def test_the_channel_hears_of_a_dead_message(redis: Redis, stream: PartitionStreams) -> None:
    """The channel tells the seq of a message that can't be written; the message is marked while keys are remembered."""
    await fill(redis, 2)
    first, second = await stream.read([HOME], 10, 1)
    key = KEYS.session(HOME, first.session_id)
    async with redis.pubsub() as channel:
        await channel.subscribe(key)
        await stream.dead_letter(first, "bad", 7)
        await stream.dead_letter(second, "bad", 0)
        await redis.publish(key, b"end")
        assert await _until_end(channel) == [b"0 d -\n7"]
    assert 290 < await redis.ttl(KEYS.refused(HOME, first.session_id, 7)) <= 300


async def _until_end(channel: PubSub) -> list[bytes]:
    heard = []
    async for found in channel.listen():
        if found["data"] == b"end":
            break
        if found["type"] == "message":
            heard.append(found["data"])
    return heard
