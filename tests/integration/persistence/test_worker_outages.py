"""The worker when something is killed, stopped or away: nothing is lost and nothing is written twice."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from broker.redis.link import Link, connected
from broker.streams.lag import lag
from cluster import migrate
from cluster.embedded.services import prepare_redis
from tests.gateways import running_workers
from tests.proxy import proxy
from tests.redis_server import follow, redis_server, with_password
from tests.servers import Server, running_server
from tests.services import Services, copied_postgres
from tests.stream_fixtures import (
    EPOCH,
    PROCESS_KEYS,
    add_sessions,
    engine_on,
    full_memory,
    message,
    publish,
    put,
    redis_on,
    rows,
)
from tests.waiting import eventually
from tests.working import KEYS, LEASE_MS, config, drained, owned_by, working


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A migrated PostgreSQL that only these tests stop."""
    folder = tmp_path_factory.mktemp("postgres")
    with running_server(copied_postgres(folder, is_durable=False), folder / "postgres.log") as server:
        migrate.upgrade(server.url)
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Server]:
    """A Redis that the test may stop; its data survives."""
    with running_server(prepare_redis(tmp_path), tmp_path / "redis.log") as server:
        yield server


async def count(engine: AsyncEngine) -> tuple[int, int]:
    """How many messages there are, and how many different ones."""
    (found,) = await rows(engine, "SELECT count(*), count(DISTINCT id) FROM messages")
    return found[0], found[1]


async def test_a_worker_killed_in_the_middle_loses_and_repeats_nothing(
    redis: Redis, engine: AsyncEngine, stream_url: str, database_url: str, tmp_path: Path
) -> None:
    """Killed again and again while it drains 20 000 messages, and started again under its name, it writes each once."""
    sessions = await add_sessions(engine, 40)
    for session_id in sessions:
        await publish(redis, PROCESS_KEYS, session_id, *(message(session_id, seq) for seq in range(1, 501)))
    with running_workers(Services(stream_url, database_url), tmp_path, worker_batch_entries=200) as (worker,):
        for share in (1_000, 6_000, 12_000):
            await eventually(partial(_has_written, engine, share), what=f"{share} messages")
            worker.signal(signal.SIGKILL)
            await asyncio.to_thread(worker.wait)
            assert (await count(engine))[0] < 20_000
            worker.start()
        await eventually(lambda: _is_settled(stream_url), what="no lag")
        assert await asyncio.to_thread(worker.stop) == 0
    assert await count(engine) == (20_000, 20_000)
    assert await rows(engine, "SELECT DISTINCT min(seq), max(seq), count(*) FROM messages GROUP BY session_id") == [
        (1, 500, 500)
    ]
    assert await redis.zrange(PROCESS_KEYS.workers, 0, -1) == []
    assert await redis.keys("seance*:owner") == []
    assert await redis.keys("seance*:dead") == []


async def _has_written(engine: AsyncEngine, share: int) -> bool:
    return (await count(engine))[0] >= share


async def _is_settled(url: str) -> bool:
    return await unacknowledged(url) == 0


async def unacknowledged(url: str) -> int:
    """How many entries no worker has acknowledged, in 16 partitions."""
    async with connected(url, timeout_seconds=5, name="test") as link:
        return sum((await lag(link, PROCESS_KEYS)).values())


async def test_sigterm_finishes_the_batch_and_tidies_up(
    redis: Redis, engine: AsyncEngine, stream_url: str, database_url: str, tmp_path: Path
) -> None:
    """Asked to end in the middle, a worker exits with 0; every written entry is acknowledged, the rest stays."""
    (session_id,) = await add_sessions(engine, 1)
    await publish(redis, PROCESS_KEYS, session_id, *(message(session_id, seq) for seq in range(1, 20_001)))
    with running_workers(Services(stream_url, database_url), tmp_path, worker_batch_entries=5) as (worker,):
        await eventually(lambda: _has_written(engine, 1), what="a message")
        worker.signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait) == 0
    written = (await count(engine))[0]
    assert 0 < written < 20_000
    assert await unacknowledged(stream_url) == 20_000 - written
    assert await redis.zrange(PROCESS_KEYS.workers, 0, -1) == []
    assert await redis.keys("seance*:owner") == []
    assert "worker.stopped" in worker.log.read_text()


async def test_a_stopped_worker_that_wakes_up_does_no_harm(
    redis: Redis, stream_link: Link, engine: AsyncEngine, stream_url: str, database_url: str
) -> None:
    """While a worker is stopped another takes over; awake again, it writes nothing twice and takes its share back."""
    sessions = await add_sessions(engine, 8)
    settings = config(stream_url, database_url, batch_entries=20)
    code = (
        "import sys, msgspec; from persistence.worker import WorkerConfig, run; "
        "sys.exit(run(msgspec.json.decode(sys.argv[1], type=WorkerConfig), 'a'))"
    )
    process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
        [sys.executable, "-c", code, msgspec.json.encode(settings)], cwd=Path(__file__).parent.parent.parent.parent
    )
    try:
        await owned_by(redis, "a", "a", "a", "a")
        for session_id in sessions:
            await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(1, 501)))
        await eventually(lambda: _has_written(engine, 100), what="100 messages")
        os.kill(process.pid, signal.SIGSTOP)
        async with working(settings, "b"):
            await owned_by(redis, "b", "b", "b", "b")
            await drained(stream_link)
            assert await count(engine) == (4000, 4000)
            os.kill(process.pid, signal.SIGCONT)
            await owned_by(redis, "a", "a", "b", "b")
            for session_id in sessions:
                await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(501, 601)))
            await drained(stream_link)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.wait()
    assert await count(engine) == (4800, 4800)
    assert await redis.keys("seance*:dead") == []


async def test_after_an_outage_of_postgres_every_entry_is_written_once(
    redis: Redis, stream_link: Link, stream_url: str, own_postgres: Server
) -> None:
    """While Postgres is stopped the worker keeps its leases and waits; when it is back everything is written, once."""
    async with engine_on(own_postgres.url) as engine:
        sessions = await add_sessions(engine, 4)
    with capture_logs() as lines:
        async with working(config(stream_url, own_postgres.url), "a"):
            await owned_by(redis, "a", "a", "a", "a")
            await asyncio.to_thread(own_postgres.stop)
            for session_id in sessions:
                await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(1, 101)))
            await eventually(lambda: _logged(lines, "worker.database_away"), what="a line that says so")
            lease_over_at = asyncio.get_running_loop().time() + 1.5 * LEASE_MS / 1000
            await eventually(lambda: _has_come(lease_over_at), what="the end of a lease that nobody renews")
            await owned_by(redis, "a", "a", "a", "a")
            assert sum((await lag(stream_link, KEYS)).values()) == 400
            await own_postgres.start()
            await drained(stream_link)
    async with engine_on(own_postgres.url) as engine:
        assert await count(engine) == (400, 400)
    events = [line["event"] for line in lines]
    assert (events.count("worker.database_away"), events.count("worker.database_back")) == (1, 1)
    assert "worker.entry_dead" not in events


async def _logged(lines: Sequence[Mapping[str, Any]], event: str) -> bool:
    return any(line["event"] == event for line in lines)


async def _has_come(moment: float) -> bool:
    return asyncio.get_running_loop().time() > moment


async def test_a_worker_can_be_stopped_while_postgres_is_away(
    redis: Redis, stream_link: Link, stream_url: str, own_postgres: Server
) -> None:
    """A worker stops without Postgres; its entries stay pending, its leases are given up."""
    async with engine_on(own_postgres.url) as engine:
        (session_id,) = await add_sessions(engine, 1)
    await asyncio.to_thread(own_postgres.stop)
    try:
        await publish(redis, KEYS, session_id, message(session_id, 1))
        with capture_logs() as lines:
            async with working(config(stream_url, own_postgres.url), "a") as worker:
                await eventually(lambda: _logged(lines, "worker.database_away"), what="a line that says so")
                await worker.end()
    finally:
        await own_postgres.start()
    await owned_by(redis, None, None, None, None)
    assert sum((await lag(stream_link, KEYS)).values()) == 1
    async with working(config(stream_url, own_postgres.url), "b"), engine_on(own_postgres.url) as engine:
        await drained(stream_link)
        assert await rows(engine, f"SELECT seq FROM messages WHERE session_id = '{session_id}'") == [(1,)]  # noqa: S608


async def test_after_an_outage_of_redis_the_worker_goes_on(
    engine: AsyncEngine, database_url: str, own_redis: Server
) -> None:
    """While Redis is stopped the worker waits; when it is back with its data, the worker goes on where it was."""
    (session_id,) = await add_sessions(engine, 1)
    with capture_logs() as lines:
        async with (
            redis_on(own_redis.url) as redis,
            connected(own_redis.url, timeout_seconds=5, name="test") as link,
            working(config(own_redis.url, database_url), "a"),
        ):
            await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(1, 11)))
            await drained(link)
            await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(11, 2001)))
            await asyncio.to_thread(own_redis.stop)
            await eventually(lambda: _logged(lines, "worker.redis_away"), what="a line that says so")
            await own_redis.start()
            async with (
                redis_on(own_redis.url) as again,
                connected(own_redis.url, timeout_seconds=5, name="test") as link_again,
            ):
                await publish(again, KEYS, session_id, message(session_id, 2001))
                await drained(link_again)
            await eventually(lambda: _logged(lines, "worker.redis_back"), what="a line that says so")
    assert await count(engine) == (2001, 2001)


async def test_a_full_memory_does_not_keep_a_worker_from_making_room(
    redis: Redis, stream_link: Link, engine: AsyncEngine, stream_url: str, database_url: str
) -> None:
    """While Redis has no memory left, a worker takes over, writes, settles, puts aside and trims all the same."""
    (session_id,) = await add_sessions(engine, 1)
    partition = KEYS.partition_of(session_id)
    key = KEYS.session(partition, session_id)
    async with working(config(stream_url, database_url), "a") as first:
        await owned_by(redis, *4 * ["a"])
        await drained(stream_link)
        await first.die()
    await redis.hset(key, mapping={"epoch": EPOCH, "persisted": 0})
    await publish(redis, KEYS, session_id, *(message(session_id, seq) for seq in range(1, 101)))
    await put(redis, partition, session_id, b"no event")
    async with full_memory(redis), working(config(stream_url, database_url), "b"):
        await owned_by(redis, *4 * ["b"])
        await eventually(lambda: _is_empty(redis), what="empty streams")
    assert await redis.hget(key, "persisted") == b"100"
    assert await redis.xlen(KEYS.dead(partition)) == 1
    assert await count(engine) == (100, 100)


async def _is_empty(redis: Redis) -> bool:
    return not any([await redis.xlen(KEYS.events(partition)) for partition in range(KEYS.partitions)])


async def test_a_worker_waits_while_redis_is_busy_or_forgets_its_scripts(
    redis: Redis, stream_link: Link, engine: AsyncEngine, stream_url: str, database_url: str
) -> None:
    """Neither an endless script in Redis nor scripts that are flushed again and again end a worker."""
    (session_id,) = await add_sessions(engine, 1)
    await redis.config_set("busy-reply-threshold", 10)
    with capture_logs() as lines:
        async with working(config(stream_url, database_url), "a"), redis_on(stream_url) as endless:
            await owned_by(redis, *4 * ["a"])
            running = asyncio.ensure_future(endless.eval("while true do end", 0))
            await eventually(lambda: _logged(lines, "worker.redis_away"), what="a line that says so")
            await redis.script_kill()
            with pytest.raises(ResponseError, match="killed"):
                await running
            for seq in range(1, 101):
                await publish(redis, KEYS, session_id, message(session_id, seq))
                await redis.script_flush()
            await drained(stream_link)
    await redis.config_set("busy-reply-threshold", 5000)
    assert await count(engine) == (100, 100)


async def test_a_worker_follows_to_a_new_primary(
    engine: AsyncEngine, database_url: str, own_redis: Server, tmp_path: Path
) -> None:
    """After a failover the address leads to another Redis: the worker leaves the old one, and drains the new one."""
    (session_id,) = await add_sessions(engine, 1)
    folder = tmp_path / "other"
    folder.mkdir()
    async with redis_server(folder) as other:
        with other.client() as redis:
            redis.config_set("requirepass", str(urlsplit(own_redis.url).password))
        url = with_password(other.url, own_redis.url)
        async with (
            proxy(own_redis.url) as address,
            redis_on(own_redis.url) as old,
            redis_on(url) as new,
            working(config(address.url(own_redis.url), database_url), "a"),
        ):
            await owned_by(old, *4 * ["a"])
            address.lead_to(url)
            follow(own_redis.url, url)
            await owned_by(new, *4 * ["a"])
            await publish(new, KEYS, session_id, message(session_id, 1))
            async with connected(url, timeout_seconds=5, name="test") as link:
                await drained(link)
    assert await count(engine) == (1, 1)


async def test_a_worker_can_be_stopped_while_redis_is_away(database_url: str, own_redis: Server) -> None:
    """A worker that can't give its leases up says so and ends cleanly all the same."""
    async with redis_on(own_redis.url) as redis, working(config(own_redis.url, database_url), "a") as worker:
        await owned_by(redis, "a", "a", "a", "a")
        await asyncio.to_thread(own_redis.stop)
        with capture_logs() as lines:
            await worker.end()
    assert await _logged(lines, "worker.leases_left")
