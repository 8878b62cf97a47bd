"""Clients that read too slowly: what they miss is made up for, or they are closed, as the session has it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.frames import text
from tests.gateways import Gateway, running_gateways, running_workers
from tests.metrics import Scrape
from tests.raw_client import RawClient, connected
from tests.redis_admin import RedisAdmin, redis_admin
from tests.rest import create_session
from tests.services import Services
from tests.waiting import eventually

Json = dict[str, Any]
GHOSTS = "\N{GHOST}" * 500
RECEIVE_BYTES = 4096


@asynccontextmanager
async def slow_client(
    services: Services, gateway: Gateway, **session_fields: object
) -> AsyncIterator[tuple[RawClient, Json, RedisAdmin]]:
    """A client that the system sends hardly more than it reads, its welcome, and its session's backstage."""
    session = await create_session(gateway.url, **session_fields)
    async with (
        redis_admin(services, session["id"]) as behind,
        connected(gateway.url, session["id"], receive_bytes=RECEIVE_BYTES) as slow,
    ):
        yield slow, (await slow.join("Slow"))["data"], behind


async def flood(behind: RedisAdmin, gateway: Gateway, metric: str) -> None:
    """Publish until the gateway has counted one."""

    async def is_counted() -> bool:
        await behind.publish(100, GHOSTS)
        return Scrape(gateway.url)[metric] == 1

    await eventually(is_counted)


async def read_to_the_end(client: RawClient) -> tuple[list[int], Json]:
    """The seqs that come, and the error after them."""
    seqs: list[int] = []
    while (event := await client.event())["type"] != "error":
        seqs.append(event["seq"])
    return seqs, event["data"]


async def test_a_client_that_reads_on_gets_everything_from_the_log(services: Services, tmp_path: Path) -> None:
    """A client that falls behind gets everything from the log when it reads on, and is live again, without a close."""
    with running_gateways(
        services,
        tmp_path,
        max_buffer_bytes=16_384,
        log_events=100_000,
        max_log_bytes=1 << 30,
        slow_consumer_seconds=60,
    ) as [gateway]:
        async with slow_client(services, gateway) as (slow, welcome, behind):
            await flood(behind, gateway, "seance_slow_consumers_total")
            last = await behind.publish(2000, GHOSTS)
            await slow.say({"type": "message", "id": 1, "text": "mine"})
            last += 1
            seqs: list[int] = []
            answers: list[Json] = []
            while not seqs or seqs[-1] < last:
                event = await slow.event()
                if "seq" in event:
                    seqs.append(event["seq"])
                else:
                    answers.append(event)
            assert seqs == list(range(welcome["seq"] + 1, last + 1))
            assert [(event["type"], event["data"]["seq"]) for event in answers] == [("ack", last)]

            async def is_live() -> bool:
                return Scrape(gateway.url)["seance_resyncs_total"] == 1

            await eventually(is_live)
            await behind.publish(1)
            assert (await slow.event())["seq"] == last + 1


@pytest.mark.parametrize("presence", ["full", "summary"])
async def test_the_log_no_longer_reaches_back(services: Services, tmp_path: Path, presence: str) -> None:
    """In a `full` session the close is 4003, and the next resume goes on from Postgres; a `summary` one needs none."""
    with (
        running_gateways(
            services, tmp_path, max_buffer_bytes=16_384, log_events=16, slow_consumer_seconds=60, is_measured=True
        ) as [gateway],
        running_workers(services, tmp_path, is_measured=True),
    ):
        async with slow_client(services, gateway, presence=presence) as (slow, welcome, behind):
            await flood(behind, gateway, "seance_slow_consumers_total")
            await behind.publish(1000)
            await behind.trim()
            last = await behind.committed()
            if presence == "summary":
                seqs: list[int] = []
                while not seqs or seqs[-1] < last:
                    seqs.append((await slow.event_of("message_received"))["seq"])
            else:
                seqs, error = await read_to_the_end(slow)
                assert (error["code"], error["retryable"]) == ("resync", True)
                assert await slow.closed() == (4003, "resync")
                resume = {"epoch": welcome["epoch"], "seq": seqs[-1]}
                async with connected(gateway.url, behind.session_id) as again:
                    back = (await again.join("x", token=welcome["token"], resume=resume))["data"]
                    assert back["resumed"] == {"recovered": True, "source": "history", "missed": last - seqs[-1]}
                    seqs += [(await again.event())["seq"] for _ in range(last - seqs[-1])]
            assert seqs == list(range(welcome["seq"] + 1, last + 1))


async def test_a_client_that_never_reads_on_is_closed(services: Services, tmp_path: Path) -> None:
    """A client that reads nothing is closed with 4000 after SLOW_CONSUMER_SECONDS; nobody waits for it."""
    with running_gateways(services, tmp_path, max_buffer_bytes=16_384, slow_consumer_seconds=1, is_measured=True) as [
        gateway
    ]:
        async with slow_client(services, gateway) as (slow, welcome, behind):
            await flood(behind, gateway, "seance_slow_consumers_total")

            async def is_closed() -> bool:
                return Scrape(gateway.url).of("seance_connections_closed_total", reason="slow_consumer") == 1

            await eventually(is_closed)
            seqs, error = await read_to_the_end(slow)
            assert seqs == list(range(welcome["seq"] + 1, welcome["seq"] + 1 + len(seqs)))
            assert (error["code"], error["retryable"]) == ("slow_consumer", True)
            assert await slow.closed() == (4000, "slow_consumer")


async def test_a_full_buffer_closes_the_client_where_the_session_wants_it(services: Services, tmp_path: Path) -> None:
    """In a session that wants it so, a client is closed with 4000 as soon as its buffer is full."""
    with running_gateways(services, tmp_path, max_buffer_bytes=16_384, slow_consumer_seconds=300, is_measured=True) as [
        gateway
    ]:
        async with slow_client(services, gateway, slow_consumers="disconnect") as (slow, welcome, behind):
            await flood(behind, gateway, "seance_slow_consumers_total")
            last = await behind.publish(1)
            assert Scrape(gateway.url).of("seance_connections_closed_total", reason="slow_consumer") == 1
            seqs, error = await read_to_the_end(slow)
            assert seqs == list(range(welcome["seq"] + 1, welcome["seq"] + 1 + len(seqs)))
            assert seqs[-1] < last
            assert error["code"] == "slow_consumer"
            assert await slow.closed() == (4000, "slow_consumer")


async def test_unread_answers_close_the_client(services: Services, tmp_path: Path) -> None:
    """Answers are not held back from a client that is behind, but it can't have any number of them unread: 4000."""
    with running_gateways(services, tmp_path, max_buffer_bytes=16_384, slow_consumer_seconds=300, is_measured=True) as [
        gateway
    ]:
        async with slow_client(services, gateway) as (slow, _, behind):
            await flood(behind, gateway, "seance_slow_consumers_total")
            for _ in count():
                await slow.send(text('{"type": "ping", "id": "a number of characters that takes some room"}') * 100)
                if Scrape(gateway.url).of("seance_connections_closed_total", reason="slow_consumer"):
                    break
