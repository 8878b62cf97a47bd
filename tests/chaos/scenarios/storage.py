"""Postgres away for long, Postgres full, Redis that lost its data."""

import asyncio
from functools import partial

import asyncpg
from redis.asyncio import Redis

from tests.chaos.person import Habits
from tests.chaos.scenarios.kills import RATE, settle_in
from tests.chaos.stack import Stack, kill
from tests.chaos.stage import UNBOUNDED, Scenario, Stage

_FULL = """
CREATE FUNCTION chaos_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER chaos_full BEFORE INSERT ON messages EXECUTE FUNCTION chaos_full()
"""
_WORKER_DIES_AT = 5
_ROOM_AGAIN = "DROP TRIGGER chaos_full ON messages; DROP FUNCTION chaos_full()"


async def postgres_away(stage: Stage[Stack], *, is_long: bool = False) -> None:
    """Chat goes on, resuming too, while the backlog grows; then it is stored, every message once.

    A worker that is killed meanwhile had read entries, and could not write them.
    """
    await settle_in(stage)
    seconds = 600 if is_long else stage.pick(40, 12)
    rate = 50.0 if is_long else stage.pick(200.0, 80.0)
    async with stage.crowd.talking(rate):
        await stage.pass_time(0.5, 1.5)
        async with stage.fault("away", "postgres"):
            await stage.system.postgres.kill()
            for number in range(10):
                await asyncio.sleep(seconds / 10)
                stage.random.choice(stage.crowd.visitors).cut(offline_seconds=1.0)
                if number == _WORKER_DIES_AT:
                    await replace_worker(stage)
            await measure_backlog(stage, "backlog_most")
            await stage.system.postgres.start()
        began_at = stage.ledger.now()
        await stage.pass_time(0.5, 1.5)
    stage.demand("backlog_most", rate * seconds * 0.8, UNBOUNDED)
    await drained(stage, began_at)


async def replace_worker(stage: Stage[Stack]) -> None:
    """Kill one of the workers, and start it again."""
    worker = stage.random.choice(stage.system.workers)
    stage.strike("kill -9", worker.name)
    await kill(worker)
    worker.start()


async def postgres_full(stage: Stage[Stack]) -> None:
    """Every write fails for want of space: the worker waits, nothing is put aside or lost."""
    await settle_in(stage)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(0.5, 1.5)
        async with stage.fault("disk full", "postgres"):
            await execute(stage, _FULL)
            await stage.pass_time(1, 3)
            await replace_worker(stage)
            await asyncio.sleep(stage.pick(10, 4))
            await measure_backlog(stage, "backlog_most")
            await execute(stage, _ROOM_AGAIN)
        began_at = stage.ledger.now()
        await stage.pass_time(0.5, 1.5)
    stage.demand("backlog_most", RATE * stage.pick(10, 4) * 0.8, UNBOUNDED)
    await drained(stage, began_at)


async def redis_loses_data(stage: Stage[Stack], *, how: str) -> None:
    """What was acknowledged as persisted is kept; everybody is told, and goes on with new, higher numbers."""
    await settle_in(stage)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(1, 2)
        await stage.burst()
        stage.strike("lose data", f"redis ({how})")
        if how == "FLUSHALL":
            async with Redis.from_url(stage.system.redis.url) as redis:
                await redis.flushall()
        else:
            await stage.system.redis.kill()
            stage.system.redis.forget()
            await stage.pass_time(0.2, 1)
            await stage.system.redis.start()
        await stage.pass_time(3, 4)


async def execute(stage: Stage[Stack], statements: str) -> None:
    """Run statements in Postgres."""
    connection = await asyncpg.connect(stage.system.postgres.url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def backlog(stage: Stage[Stack]) -> int:
    """How many entries wait for Postgres, or for being trimmed."""
    async with Redis.from_url(stage.system.redis.url) as redis:
        found = [int(await redis.xlen(key)) async for key in redis.scan_iter(match="*:events")]
    return sum(found)


async def measure_backlog(stage: Stage[Stack], name: str) -> None:
    """Write down how much waits."""
    stage.measured(name, await backlog(stage))


async def drained(stage: Stage[Stack], began_at: float) -> None:
    """Write down how long it took until nothing waited any more."""
    async with asyncio.timeout(120):
        while await backlog(stage):  # noqa: ASYNC110 - it lies in another process
            await asyncio.sleep(0.1)
    stage.measured("drain_seconds", round(stage.ledger.now() - began_at, 2))


_SAFE = Habits(level="persisted")
SCENARIOS = [
    Scenario("postgres-away", "no Postgres for 40 s, a growing backlog", postgres_away, settle_seconds=90.0),
    Scenario(
        "postgres-away-long",
        "no Postgres for 10 minutes, a growing backlog",
        partial(postgres_away, is_long=True),
        settle_seconds=120.0,
        is_long_only=True,
    ),
    Scenario("postgres-full", "every write to Postgres fails: disk full", postgres_full, settle_seconds=60.0),
    Scenario("redis-emptied", "FLUSHALL of the running Redis", partial(redis_loses_data, how="FLUSHALL"), habits=_SAFE),
    Scenario("redis-lost", "Redis is killed and starts empty", partial(redis_loses_data, how="kill"), habits=_SAFE),
]
