"""Redis answers late, refuses, or forgets the newest (a failover): nobody alive loses a seat or misses an event."""

import asyncio
import signal
from pathlib import Path

from redis.asyncio import Redis as Client

from broker.keys import Keys
from tests.gateways import running_gateways
from tests.raw_client import connected
from tests.redis_server import cut
from tests.rest import call, create_session, users
from tests.services import Services
from tests.session_state import now_ms
from tests.system.test_redis_away import redis_in
from tests.waiting import eventually

KEYS = Keys("seance", 16)


async def test_seats_survive_a_redis_that_refuses_writes(services: Services, tmp_path: Path) -> None:
    """While Redis refuses writes, a leave is not forgotten, and longer than a lease costs no user the seat."""
    with redis_in(tmp_path) as redis:
        await redis.start()
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path, 2, log_level="warning") as [first, second]:
            session = await create_session(first.url)
            async with (
                connected(first.url, session["id"]) as ana,
                connected(second.url, session["id"]) as ben,
                connected(second.url, session["id"]) as cat,
                Client.from_url(redis.url) as client,
            ):
                for name, socket in (("Ana", ana), ("Ben", ben), ("Cat", cat)):
                    await socket.join(name)
                await client.replicaof("127.0.0.1", "1")
                await cat.say({"type": "leave"})
                assert await cat.closed() == (1000, "left")

                async def is_lease_over() -> bool:
                    living = await client.zcount(KEYS.gateways(0), now_ms(), "+inf")
                    return bool(living == 0)

                await eventually(is_lease_over)
                await client.replicaof("NO", "ONE")
                for gateway in (first, second):
                    await asyncio.to_thread(gateway.wait_ready)

                async def is_as_it_should_be() -> bool:
                    return sorted(await users(first.url, session["id"])) == ["Ana", "Ben"]

                await eventually(is_as_it_should_be)
                await ben.say({"type": "message", "text": "still here"})
                seen = [(await ana.event_of("user_left", "message_received")) for _ in range(2)]
                assert {event["data"]["user"]["name"] for event in seen if event["type"] == "user_left"} == {"Cat"}


async def test_a_gateway_started_while_redis_refuses_becomes_ready_later(services: Services, tmp_path: Path) -> None:
    """A gateway that is started while Redis can't be written to waits, and becomes ready when it can."""
    with redis_in(tmp_path) as redis:
        await redis.start()
        own = Services(redis_url=redis.url, database_url=services.database_url)
        async with Client.from_url(redis.url) as client:
            await client.replicaof("127.0.0.1", "1")
            with running_gateways(own, tmp_path, wait=False) as [gateway]:

                async def is_refused() -> bool:
                    return "Redis is not the primary" in gateway.log.read_text()

                await eventually(is_refused)
                await client.replicaof("NO", "ONE")
                await asyncio.to_thread(gateway.wait_ready)


async def test_a_seat_whose_answer_was_lost_is_free_again(services: Services, tmp_path: Path) -> None:
    """A seat that Redis gave after the gateway had given up on the answer is free again for the same name."""
    with redis_in(tmp_path) as redis:
        await redis.start()
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path, redis_timeout_seconds=1) as [gateway]:
            session = await create_session(gateway.url)
            async with connected(gateway.url, session["id"]) as ben, connected(gateway.url, session["id"]) as ana:
                await ben.join("Ben")
                redis.signal(signal.SIGSTOP)
                await ana.say({"type": "join", "name": "Ana"})
                assert (await ana.event())["data"]["code"] == "unavailable"
                assert await ana.closed() == (4002, "unavailable")
                redis.signal(signal.SIGCONT)
                await asyncio.to_thread(gateway.wait_ready)
                seen = [(await ben.event())["type"] for _ in range(2)]
                assert seen == ["user_joined", "user_left"]
                async with connected(gateway.url, session["id"]) as again:
                    assert (await again.join("Ana"))["data"]["user_count"] == 2


async def test_a_join_that_is_too_slow_tells_the_client_to_come_back(services: Services, tmp_path: Path) -> None:
    """A join that came in time and takes too long in the gateway is no fault of the client."""
    with redis_in(tmp_path) as redis:
        await redis.start()
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path, join_timeout_seconds=1) as [gateway]:
            session = await create_session(gateway.url)
            async with connected(gateway.url, session["id"]) as ana:
                redis.signal(signal.SIGSTOP)
                await ana.say({"type": "join", "name": "Ana"})
                assert (await ana.event())["data"]["code"] == "unavailable"
                assert await ana.closed() == (4002, "unavailable")
                redis.signal(signal.SIGCONT)


async def test_a_refused_subscription_refuses_the_join(services: Services, tmp_path: Path) -> None:
    """A gateway that may not subscribe to a session's channel refuses the join, and keeps nothing of the join."""
    with redis_in(tmp_path) as redis:
        await redis.start()
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path) as [gateway]:
            session = await create_session(gateway.url)
            async with Client.from_url(redis.url) as client:
                # Ends the gateway's connection, which hears its canaries.
                await client.acl_setuser("default", enabled=True, reset_channels=True)

            async def is_back() -> bool:
                return (await call(gateway.url, "GET", f"/api/sessions/{session['id']}")).status_code == 200

            await eventually(is_back)
            async with connected(gateway.url, session["id"]) as ana:
                await ana.say({"type": "join", "name": "Ana"})
                assert (await ana.event())["data"]["code"] == "unavailable"
                assert await ana.closed() == (4002, "unavailable")
            assert (await call(gateway.url, "GET", "/health")).json()["sessions"] == 0


async def test_sockets_resume_after_redis_lost_its_newest_events(services: Services, tmp_path: Path) -> None:
    """The sockets are sent to resume, because the next events of that Redis repeat numbers."""
    with redis_in(tmp_path) as redis:
        await redis.start()
        own = Services(redis_url=redis.url, database_url=services.database_url)
        with running_gateways(own, tmp_path) as [gateway]:
            session = await create_session(gateway.url)
            async with connected(gateway.url, session["id"]) as ana:
                welcome = (await ana.join("Ana"))["data"]
                for _ in range(5):
                    await ana.say({"type": "message", "text": "hi"})
                    await ana.event_of("ack")
                async with Client.from_url(redis.url) as client:
                    [key] = [key async for key in client.scan_iter(f"seance:*:session:{session['id']}")]
                    await client.hincrby(key, "seq", -2)
                    await client.xtrim(key + b":log", maxlen=0)
                cut(redis.url, "pubsub")
                assert (await ana.event_of("error"))["data"]["code"] == "resync"
                assert await ana.closed() == (4003, "resync")
            async with connected(gateway.url, session["id"]) as ana:
                resume = {"epoch": welcome["epoch"], "seq": welcome["seq"] + 5}
                back = await ana.join("x", token=welcome["token"], resume=resume)
                assert back["data"]["resumed"]["recovered"] is False
