"""Redis loses data under two gateways and a worker: everyone is told, and nothing that Postgres has is overwritten."""

from pathlib import Path
from typing import Any, Literal

import pytest
from redis.asyncio import Redis

from broker.keys import Keys
from tests.gateways import running_gateways, running_workers
from tests.raw_client import RawClient, connected
from tests.redis_server import RedisServer, redis_server
from tests.rest import call, create_session
from tests.services import Services
from tests.waiting import eventually

PARTITIONS = 16
KEYS = Keys("seance", PARTITIONS)
Json = dict[str, Any]
Loss = Literal["flushed", "no file", "older file"]


async def lose(redis: RedisServer, how: Loss) -> None:
    """Let Redis lose what it holds, or the newest of it."""
    if how == "flushed":
        async with Redis.from_url(redis.url) as client:
            await client.flushall()
        return
    redis.kill()
    redis.forget() if how == "no file" else redis.go_back()
    await redis.start()


async def have_leases(redis: RedisServer, count: int) -> bool:
    """Whether so many gateways may hold seats again."""
    async with Redis.from_url(redis.url) as client:
        held: list[int] = [await client.zcard(KEYS.gateways(partition)) for partition in range(PARTITIONS)]
    return held == [count] * PARTITIONS


async def say(socket: RawClient, text: str) -> int:
    """Publish; returns the seq once Postgres has it."""
    await socket.say({"type": "message", "text": text, "ack": "persisted"})
    seq: int = (await socket.event_of("ack"))["data"]["seq"]
    return seq


async def history(url: str, session: Json) -> list[tuple[int, str]]:
    """What Postgres has, as (seq, text)."""
    answer = await call(url, "GET", f"/api/sessions/{session['id']}/messages")
    return [(item["seq"], item["text"]) for item in answer.json()["data"]["items"]]


async def is_taken(redis: RedisServer) -> bool:
    """Whether Redis names its installation and the number of its partitions, so that nobody else uses it by mistake."""
    async with Redis.from_url(redis.url) as client:
        return await client.exists(KEYS.installation, KEYS.claim) == 2


async def test_a_redis_that_was_emptied_is_taken_again(services: Services, tmp_path: Path) -> None:
    """FLUSHALL breaks no connection, and no worker runs: a gateway sees that its leases are gone."""
    async with redis_server(tmp_path) as redis:
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path):
            await lose(redis, "flushed")
            await eventually(lambda: is_taken(redis))


@pytest.mark.parametrize("how", ["flushed", "no file", "older file"])
async def test_clients_are_told_that_redis_lost_data(services: Services, tmp_path: Path, how: Loss) -> None:
    """Every client is sent to come back, is told that recovery is not possible, and goes on in a new epoch."""
    async with redis_server(tmp_path) as redis:
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path, 2) as [first, second], running_workers(own, tmp_path):
            session = await create_session(first.url)
            async with connected(first.url, session["id"]) as ana, connected(second.url, session["id"]) as ben:
                welcomes = [(await ana.join("Ana"))["data"], (await ben.join("Ben"))["data"]]
                await say(ana, "kept")
                redis.copy_data()
                before = await say(ana, "newest")
                await lose(redis, how)
                for socket in (ana, ben):
                    assert (await socket.event_of("error"))["data"]["code"] == "resync"
                    assert await socket.closed() == (4003, "resync")
            for gateway in (first, second):
                gateway.wait_ready()
            # Until then joins are refused, and clients come back a moment later.
            await eventually(lambda: have_leases(redis, 2))
            async with connected(first.url, session["id"]) as ana, connected(second.url, session["id"]) as ben:
                for socket, welcome in zip((ana, ben), welcomes, strict=True):
                    resume = {"epoch": welcome["epoch"], "seq": before}
                    back = (await socket.join("x", token=welcome["token"], resume=resume))["data"]
                    assert back["resumed"] == {"recovered": False, "source": "none", "missed": 0}
                    assert (back["epoch"] != welcome["epoch"], back["seq"] >= 2_000_000) == (True, True)
                    assert back["you"] == welcome["you"]
                after = await say(ana, "after")
                assert (await ben.event_of("message_received"))["seq"] == after > 2_000_000
            assert await history(first.url, session) == [(before - 1, "kept"), (before, "newest"), (after, "after")]


async def test_a_session_without_a_room_is_fenced_before_a_seq_repeats(services: Services, tmp_path: Path) -> None:
    """A session that no gateway has a room of is fenced off before its older state gives out a seq again."""
    async with redis_server(tmp_path) as redis:
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path) as [gateway], running_workers(own, tmp_path):
            session = await create_session(gateway.url)

            async def publish(text: str) -> int:
                path = f"/api/sessions/{session['id']}/messages"
                answer = await call(gateway.url, "POST", path, token=session["host_token"], body={"text": text})
                assert answer.status_code == 202, answer.text
                seq: int = answer.json()["data"]["seq"]

                async def is_stored() -> bool:
                    return (seq, text) in await history(gateway.url, session)

                await eventually(is_stored)
                return seq

            await publish("kept")
            redis.copy_data()
            await publish("newest")
            await lose(redis, "older file")
            gateway.wait_ready()
            assert await publish("after") == 2_000_001
            assert await history(gateway.url, session) == [(1, "kept"), (2, "newest"), (2_000_001, "after")]


async def test_a_killed_redis_that_kept_its_data_is_not_noticed(services: Services, tmp_path: Path) -> None:
    """Redis is killed and has kept its data: the same socket goes on, in the same epoch."""
    async with redis_server(tmp_path) as redis:
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path) as [gateway], running_workers(own, tmp_path):
            session = await create_session(gateway.url)
            async with connected(gateway.url, session["id"]) as ana:
                welcome = (await ana.join("Ana"))["data"]
                before = await say(ana, "before")
                redis.kill()
                await redis.start()
                gateway.wait_ready()
                assert await say(ana, "after") == before + 1
            async with connected(gateway.url, session["id"]) as ana:
                resume = {"epoch": welcome["epoch"], "seq": before}
                back = (await ana.join("x", token=welcome["token"], resume=resume))["data"]
                assert back["resumed"] == {"recovered": True, "source": "log", "missed": 1}
