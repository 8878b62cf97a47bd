"""A Redis that is there and can't be used: it loads its file, or another one is the primary now."""

import asyncio

from redis import Redis

from tests import slow_loading
from tests.chaos.person import Habits
from tests.chaos.scenarios.kills import RATE, settle_in
from tests.chaos.servers import Server, ended, standby_of
from tests.chaos.stack import Stack
from tests.chaos.stage import Scenario, Stage
from tests.redis_server import follow
from tests.waiting import until

LONGEST_SECONDS = 10.0


async def primary_moved(stage: Stage[Stack]) -> None:
    """A replica is promoted and the address leads to it; the old primary stays, as a replica. Later back again.

    Only new connections reach the new primary: a client of the old primary has to leave its connection.
    """
    await settle_in(stage)
    first = stage.system.redis
    with ended(standby_of(first)) as second:
        await second.start()
        await asyncio.to_thread(_replicate, first, second)
        async with stage.crowd.talking(RATE):
            for old, new in ((first, second), (second, first)):
                await stage.pass_time(1, 2)
                async with stage.fault("failover", f"{old.name} to {new.name}"):
                    await asyncio.to_thread(_fail_over, old, new)
                    await stage.pass_time(0, 1)
                    for address in stage.system.redis_proxies():
                        address.lead_to(new.url)
                    await stage.pass_time(10, 12)
            await stage.pass_time(1, 2)
    stage.demand("reconnects", 0, 0)
    # A process that stays with the old primary would come to an end of its waiting only when that is primary again.
    stage.demand("acknowledged_most", 0, LONGEST_SECONDS)


def _replicate(primary: Server, replica: Server) -> None:
    """Make it a replica that has everything, and lets the two change places."""
    with Redis.from_url(primary.url) as first:
        first.config_set("masterauth", str(first.connection_pool.connection_kwargs["password"]))
    follow(replica.url, primary.url)
    with Redis.from_url(replica.url) as second:
        until(lambda: second.info("replication")["master_link_status"] == "up", what="a replica with all data")


def _fail_over(primary: Server, replica: Server) -> None:
    """Let them change places; Redis holds writes back meanwhile, so that none is lost."""
    host, port = replica.address
    with Redis.from_url(primary.url) as old, Redis.from_url(replica.url) as new:
        until(lambda: old.info("replication").get("connected_slaves") == 1, what="a replica at the primary")
        old.execute_command("FAILOVER", "TO", host, port)
        until(lambda: new.info("replication")["role"] == "master", what="a new primary")
        until(lambda: old.info("replication")["master_link_status"] == "up", what="a new replica")


async def redis_loads(stage: Stage[Stack]) -> None:
    """Redis is killed, and its file takes long to load; it refuses meanwhile, and has lost nothing in the end."""
    await settle_in(stage)
    redis, seconds = stage.system.redis, stage.pick(20, 12)
    await asyncio.to_thread(slow_loading.prepare, redis.url, redis.config)
    async with stage.crowd.talking(RATE):
        await stage.pass_time(1, 2)
        async with stage.fault(f"kill -9, loading for {seconds} s", "redis"):
            await redis.kill()
            starting = asyncio.create_task(redis.start(), name="loading")
            await asyncio.sleep(seconds)
            assert not starting.done(), "Redis had loaded its file too soon"
            await asyncio.to_thread(slow_loading.finish, redis.url, redis.config)
            await starting
        await stage.pass_time(2, 3)
    stage.demand("reconnects", 0, 0)


_SAFE = Habits(level="persisted")
SCENARIOS = [
    Scenario(
        "primary-moved", "a Redis replica is promoted, the address moves, and later back", primary_moved, habits=_SAFE
    ),
    Scenario("redis-loading", "kill -9 of Redis, which then loads its file for 20 s", redis_loads),
]
