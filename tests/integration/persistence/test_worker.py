"""The worker on real servers: every published event becomes rows once, with any workers and after any predecessor."""

import asyncio
from uuid import uuid4

import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from broker.events import Empty, SessionClosed, instant
from broker.keys import GROUP
from broker.redis.link import Link
from broker.streams import dead_letters
from broker.streams.lag import lag
from broker.streams.partition_streams import CONSUMER
from persistence.sessions import StoredSessions
from persistence.worker import WorkerConfig
from tests.stream_fixtures import EPOCH, add_sessions, joined, left, message, publish, put, rows
from tests.waiting import eventually
from tests.working import KEYS, PARTITIONS, Working, config, drained, owned_by, working


@pytest.fixture
def settings(stream_url: str, database_url: str) -> WorkerConfig:
    """The configuration of the workers."""
    return config(stream_url, database_url)


async def stored(engine: AsyncEngine) -> dict[str, list[int]]:
    """Session id → the seqs of its messages."""
    found: dict[str, list[int]] = {}
    for session_id, seq in await rows(engine, "SELECT session_id::text, seq FROM messages ORDER BY 1, 2"):
        found.setdefault(session_id, []).append(seq)
    return found


async def test_published_events_become_rows(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """Messages, joins, leaves and closing reach their tables; the watermark follows and the streams get empty."""
    session_id, other = await add_sessions(engine, 2)
    ana, bob = str(uuid4()), str(uuid4())
    session = KEYS.session(KEYS.partition_of(session_id), session_id)
    await redis.hset(session, mapping={"epoch": EPOCH, "persisted": 0})
    await publish(
        redis,
        KEYS,
        session_id,
        joined(ana, "Ana", seq=1),
        joined(bob, "Bob", seq=2),
        message(session_id, 3, user_id=ana, text="hi"),
        left(bob, "Bob", reason="removed", seq=4),
        SessionClosed(instant(), Empty(), 5),
    )
    await publish(redis, KEYS, other, joined(ana, "Ana"), left(ana, "Ana"), joined(bob, "Bob"))
    async with working(settings):
        await drained(stream_link)
        await eventually(lambda: _is_trimmed(redis), what="empty streams")
        assert await redis.hget(session, "persisted") == b"5"
    assert await rows(engine, "SELECT seq, user_id::text, text FROM messages") == [(3, ana, "hi")]
    users = await rows(engine, "SELECT session_id::text, id::text, left_at IS NULL, is_removed FROM users")
    assert set(users) == {
        (session_id, ana, False, False),
        (session_id, bob, False, True),
        (other, ana, False, False),
        (other, bob, True, False),
    }
    assert set(await rows(engine, "SELECT id::text, is_active FROM sessions")) == {(session_id, False), (other, True)}


async def _is_trimmed(redis: Redis) -> bool:
    return not any([await redis.xlen(KEYS.events(partition)) for partition in range(PARTITIONS)])


async def test_pending_entries_are_written_first(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """Entries that a predecessor read under any name and never acknowledged are written before newer ones."""
    (session_id,) = await add_sessions(engine, 1)
    key = KEYS.events(KEYS.partition_of(session_id))
    await redis.xgroup_create(key, GROUP, id="0", mkstream=True)
    await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(1, 3001)))
    for consumer in (CONSUMER, "worker-of-old", CONSUMER):
        await redis.xreadgroup(GROUP, consumer, {key: ">"}, count=700)
    # The last entry contradicts an older one: the one that stays shows the order.
    await publish(redis, KEYS, session_id, message(session_id, 1, text="newer"))
    async with working(settings):
        await drained(stream_link)
    assert await stored(engine) == {session_id: list(range(1, 3001))}
    assert await rows(engine, "SELECT text FROM messages WHERE seq = 1") == [("hello",)]
    assert [one.reason for one in await dead_letters.listed(stream_link, KEYS)] == ["another message has this seq"]


async def test_no_transaction_exceeds_the_batch_size(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """However many partitions have entries, no transaction holds more than a batch."""
    sessions = await add_sessions(engine, 12)
    for session_id in sessions:
        await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(1, 21)))
    with capture_logs() as lines:
        async with working(msgspec.structs.replace(settings, batch_entries=7)):
            await drained(stream_link)
    sizes = [line["entries"] for line in lines if line["event"] == "worker.batch_written"]
    assert sum(sizes) == 12 * 20
    assert max(sizes) <= 7
    assert await stored(engine) == {session_id: list(range(1, 21)) for session_id in sessions}


async def test_two_workers_share_the_partitions(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """A second worker gets half, all while messages flow; when it leaves, the first has everything at once again."""
    sessions = await add_sessions(engine, 8)
    async with working(settings, "a"):
        await owned_by(redis, "a", "a", "a", "a")
        flow = asyncio.create_task(_flow(redis, sessions, 40))
        async with working(settings, "b"):
            await owned_by(redis, "a", "a", "b", "b")
        assert await redis.zrange(KEYS.workers, 0, -1) == [b"a"]
        await owned_by(redis, "a", "a", "a", "a")
        await flow
        await drained(stream_link)
    assert await stored(engine) == {session_id: list(range(1, 401)) for session_id in sessions}
    assert await dead_letters.listed(stream_link, KEYS) == []


async def _flow(redis: Redis, sessions: list[str], rounds: int) -> None:
    for start in range(0, rounds * 10, 10):
        for session_id in sessions:
            events = (message(session_id, start + seq) for seq in range(1, 11))
            await publish(redis, KEYS, session_id, *events)


async def test_the_partitions_of_a_dead_worker_are_taken_over(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """A worker that dies with everything leaves its leases to expire; another, of any name, then goes on."""
    (session_id,) = await add_sessions(engine, 1)
    async with working(settings, "a") as first:
        await owned_by(redis, "a", "a", "a", "a")
        await first.die()
    await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(1, 101)))
    async with working(settings, "b"):
        await owned_by(redis, "b", "b", "b", "b")
        await drained(stream_link)
    assert await stored(engine) == {session_id: list(range(1, 101))}


async def test_a_lease_that_was_lost_is_taken_again(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """When its leases vanish, a worker stops, takes them again and writes pending entries first."""
    (session_id,) = await add_sessions(engine, 1)
    core = KEYS.partition_of(session_id)
    async with working(settings, "a"):
        await owned_by(redis, "a", "a", "a", "a")
        await redis.set(KEYS.owner(core), "somebody", px=300)
        await redis.delete(KEYS.owner((core + 1) % PARTITIONS))
        await publish(redis, KEYS, session_id, message(session_id, 1))
        await owned_by(redis, "a", "a", "a", "a")
        await drained(stream_link)
    assert await stored(engine) == {session_id: [1]}


async def test_a_worker_without_a_share_waits_and_stops(
    redis: Redis, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """Workers without a share wait without doing anything, and stop as cleanly."""
    (session_id,) = await add_sessions(engine, 1)
    narrow = msgspec.structs.replace(settings, keys=msgspec.structs.replace(KEYS, partitions=1))
    async with working(narrow, "a"), working(narrow, "b"), working(narrow, "c"):
        await publish(redis, narrow.keys, session_id, message(session_id, 1))
        await eventually(lambda: stored(engine), what="the message")
        assert len(await redis.zrange(KEYS.workers, 0, -1)) == 3
    assert await redis.zrange(KEYS.workers, 0, -1) == []


async def test_a_bad_entry_becomes_a_dead_letter(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """Among good entries the bad ones are found, kept with their reasons, and never quoted in the log."""
    (session_id,) = await add_sessions(engine, 1)
    unknown = str(uuid4())
    core = KEYS.partition_of(session_id)
    await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(1, 51)))
    await put(redis, core, session_id, b'{"type":"message_received","what":"Ana wrote"')
    await put(redis, core, session_id, b'{"type":"poem","data":"what Ana wrote"}')
    await redis.xadd(KEYS.events(core), {"unexpected": "what Ana wrote"})
    await put(redis, core, unknown, msgspec.json.encode(message(unknown, 1, text="what Ana wrote")))
    await publish(redis, KEYS, session_id, message(session_id, 51, text="what\0Ana wrote"))
    await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(52, 101)))
    with capture_logs() as lines:
        async with working(settings):
            await drained(stream_link)
    assert await stored(engine) == {session_id: [seq for seq in range(1, 101) if seq != 51]}
    refused = await rows(engine, "SELECT session_id::text, seq FROM refused_messages")
    assert sorted(refused) == sorted([(session_id, 51), (unknown, 1)])
    found = await dead_letters.listed(stream_link, KEYS)
    reasons = [line["reason"] for line in lines if line["event"] == "worker.entry_dead"]
    assert sorted(one.reason for one in found) == sorted(reasons)
    assert sorted(reason.partition(":")[0] for reason in reasons) == [
        "character not in repertoire",
        "foreign key violation",
        "undecodable",
        "undecodable",
        "undecodable",
    ]
    assert "Ana wrote" not in str(lines)
    assert all("Ana" not in one.reason for one in found)


async def test_a_mended_entry_can_be_retried(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """A message of a session that was missing is written once the session is there and the entry is put back."""
    unknown = str(uuid4())
    await publish(redis, KEYS, unknown, message(unknown, 7))
    async with working(settings):
        await eventually(lambda: dead_letters.listed(stream_link, KEYS), what="a dead entry")
        assert not any((await lag(stream_link, KEYS)).values())
        await StoredSessions(engine).create(name="Tuesday", id=unknown)
        assert await dead_letters.retry(stream_link, KEYS) == 1
        await eventually(lambda: stored(engine), what="the message")
    assert await stored(engine) == {unknown: [7]}
    assert await dead_letters.listed(stream_link, KEYS) == []


async def test_lost_data_of_redis_does_not_stop_the_worker(
    redis: Redis, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """When the groups are gone with all else, the worker makes them again and goes on."""
    (session_id,) = await add_sessions(engine, 1)
    with capture_logs() as lines:
        async with working(settings):
            await owned_by(redis, *["worker-1"] * 4)
            await redis.flushdb()
            await publish(redis, KEYS, session_id, message(session_id, 1))
            await eventually(lambda: stored(engine), what="the message")
            await owned_by(redis, *["worker-1"] * 4)
    assert {"worker.redis_away", "worker.redis_back"} <= {line["event"] for line in lines}


@pytest.mark.parametrize("key", [KEYS.workers, KEYS.owner(1), KEYS.events(2)])
async def test_the_death_of_one_task_ends_the_worker(redis: Redis, settings: WorkerConfig, key: str) -> None:
    """An error that waiting can't mend (a key of the wrong kind) ends the leases or a lane, and so the worker."""
    await redis.hset(key, "mine", "yes")
    worker = Working(settings, "worker-1")
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(worker.task, 10)
    assert "WRONGTYPE" in str(caught.value.exceptions[0])


async def test_another_number_of_partitions_ends_the_worker(redis: Redis, settings: WorkerConfig) -> None:
    """A worker with other PARTITIONS than the data refuses to work."""
    await redis.set(KEYS.claim, 16)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(Working(settings, "worker-1").task, 10)
    assert "PARTITIONS=16" in str(caught.value.exceptions[0])


async def test_entries_of_a_vanished_consumer_are_found(
    redis: Redis, stream_link: Link, engine: AsyncEngine, settings: WorkerConfig
) -> None:
    """Entries that were delivered to a process that is gone are found while the worker runs, without a takeover."""
    (session_id,) = await add_sessions(engine, 1)
    key = KEYS.events(KEYS.partition_of(session_id))
    async with working(msgspec.structs.replace(settings, sweep_seconds=0.2)):
        await owned_by(redis, *["worker-1"] * 4)
        pipeline = redis.pipeline(transaction=True)
        put(pipeline, KEYS.partition_of(session_id), session_id, msgspec.json.encode(message(session_id, 1)))
        pipeline.xreadgroup(GROUP, "gone", {key: ">"}, count=1)
        await pipeline.execute()
        await drained(stream_link)
    assert await stored(engine) == {session_id: [1]}
