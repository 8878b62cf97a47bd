"""A gateway that no longer hears what is published is unready, says why, and misses nothing once it hears again."""

import asyncio
import signal
from pathlib import Path
from typing import Any

from redis.asyncio import Redis as Client

from broker.keys import Keys
from broker.pubsub.publisher import Publisher
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from tests.gateways import Gateway, running_gateways
from tests.proxy import proxy
from tests.raw_client import RawClient, connected
from tests.redis_server import redis_server
from tests.rest import call, create_session
from tests.services import Services
from tests.session_state import kept
from tests.waiting import eventually

PATIENT_SECONDS = 60  # so that only the canary can find out
PARTITIONS = 16
KEYS = Keys("seance", PARTITIONS)
# Longer than the allowed lag and the 0.25 s between two measurements together.
STOPPED_SECONDS = 0.8


async def is_unready(gateway: Gateway, why: str) -> None:
    """Return once `/ready` answers 503 with this reason; `/live` goes on answering 200."""

    async def answers() -> bool:
        ready = await call(gateway.url, "GET", "/ready")
        return ready.status_code == 503 and why in ready.json()["reason"]

    await eventually(answers, what="a gateway that is unready")
    assert (await call(gateway.url, "GET", "/live")).status_code == 200


async def is_ready(gateway: Gateway) -> None:
    """Return once `/ready` answers 200."""

    async def answers() -> bool:
        return (await call(gateway.url, "GET", "/ready")).status_code == 200

    await eventually(answers, what="a gateway that is ready")


async def say(client: RawClient, text: str) -> int:
    """Send a message; the seq in its ack."""
    await client.say({"type": "message", "text": text})
    seq: int = (await client.event_of("ack"))["data"]["seq"]
    return seq


async def heard(client: RawClient, count: int) -> list[tuple[int, str]]:
    """The next messages, as (seq, text)."""
    events: list[dict[str, Any]] = [await client.event_of("message_received") for _ in range(count)]
    return [(event["seq"], event["data"]["text"]) for event in events]


async def test_a_gateway_that_hears_nothing_is_unready_and_misses_nothing(services: Services, tmp_path: Path) -> None:
    """The connection is blackholed: unready after three canaries; healed, a room gets what it missed, in order."""
    async with proxy(services.redis_url) as between:
        through = Services(between.url(services.redis_url), services.database_url)
        with (
            running_gateways(through, tmp_path, wait=False, redis_timeout_seconds=PATIENT_SECONDS) as [deaf],
            running_gateways(services, tmp_path) as [sound],
        ):
            # Never waited for in this thread: the proxy's loop runs in it.
            await asyncio.to_thread(deaf.wait_ready)
            session = await create_session(sound.url)
            async with connected(deaf.url, session["id"]) as ana, connected(sound.url, session["id"]) as ben:
                await ana.join("Ana")
                await ben.join("Ben")
                assert await between.blackhole(b"gw-1-link") == 1
                said = [(await say(ben, text), text) for text in ("one", "two")]
                await is_unready(deaf, "Redis does not answer")
                said.append((await say(ben, "three"), "three"))
                assert (await call(sound.url, "GET", "/ready")).status_code == 200
                await between.heal()
                await is_ready(deaf)
                said.append((await say(ben, "four"), "four"))
                assert await heard(ana, 4) == said
            await asyncio.to_thread(deaf.stop)


async def test_a_gateway_of_a_demoted_redis_is_unready_and_misses_nothing(services: Services, tmp_path: Path) -> None:
    """Redis becomes a replica of another one: unready; a primary again, rooms have what was published there."""
    (tmp_path / "other").mkdir()
    async with redis_server(tmp_path) as old, redis_server(tmp_path / "other") as new:
        own = Services(old.url, services.database_url)
        with running_gateways(own, tmp_path, log_level="warning") as [gateway]:
            session = await create_session(gateway.url)
            async with (
                connected(gateway.url, session["id"]) as ana,
                connected(gateway.url, session["id"]) as ben,
                Client.from_url(old.url, decode_responses=True) as first,
                Client.from_url(new.url, decode_responses=True) as second,
            ):
                await ana.join("Ana")
                await ben.join("Ben")
                await follow(second, first)
                await second.replicaof("NO", "ONE")
                await follow(first, second)
                await is_unready(gateway, "Redis can't be reached")
                said = [(await publish(new.url, session["id"], text), text) for text in ("one", "two")]
                await is_caught_up(first, second)
                await first.replicaof("NO", "ONE")
                await is_ready(gateway)
                said.append((await say(ben, "three"), "three"))
                assert await heard(ana, 3) == said


async def test_a_gateway_whose_loop_lags_is_unready(services: Services, tmp_path: Path) -> None:
    """A gateway whose event loop was later than allowed is unready, and says so."""
    with running_gateways(services, tmp_path, wait=False, max_loop_lag_milliseconds=300) as [gateway]:
        await asyncio.to_thread(gateway.wait_live)

        async def is_unready_after_a_stop() -> bool:
            gateway.signal(signal.SIGSTOP)
            await asyncio.sleep(STOPPED_SECONDS)
            gateway.signal(signal.SIGCONT)
            ready = await call(gateway.url, "GET", "/ready")
            return ready.status_code == 503 and "the event loop lags" in ready.json()["reason"]

        await eventually(is_unready_after_a_stop, what="a gateway that is unready because its event loop lags")
        assert (await call(gateway.url, "GET", "/live")).status_code == 200


async def follow(replica: Client, primary: Client) -> None:
    """Make one server the replica of another; return once it has its data."""
    options = primary.connection_pool.connection_kwargs
    await replica.config_set("masterauth", options["password"])
    await replica.replicaof(options["host"], options["port"])
    await is_caught_up(replica, primary)


async def is_caught_up(replica: Client, primary: Client) -> None:
    """Return once the replica has what the primary had at the call."""
    offset = (await primary.info("replication"))["master_repl_offset"]

    async def has_it() -> bool:
        now = await replica.info("replication")
        return bool(now.get("master_link_status") == "up" and now["slave_repl_offset"] >= offset)

    await eventually(has_it)


async def publish(url: str, session_id: str, text: str) -> int:
    """Publish a message over a connection of our own; its seq."""
    link = Link(url)
    scripts = Scripts(link)
    publisher = Publisher(link, scripts, keys=KEYS, max_backlog=1000)
    async with kept(link.keeper):
        return (await publisher.message(session_id, user_id=None, user_name="Elsewhere", text=text)).seq
