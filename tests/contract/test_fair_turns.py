"""What one client may do to a gateway: its turns of the loop, and its rates of messages and `typing`."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.frames import client_frame, close
from tests.gateways import Gateway, running_gateways
from tests.metrics import Scrape
from tests.raw_client import RawClient, connected
from tests.rest import call, create_session
from tests.services import Services
from tests.waiting import eventually

Json = dict[str, Any]
FLOOD = client_frame(9) * 100_000


@pytest.fixture(scope="module")
def strict(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with low rates."""
    with running_gateways(
        services,
        tmp_path_factory.mktemp("strict"),
        limits="on",
        limit_messages_connection="0.1+4",
        limit_messages_user="0.1+6",
        limit_typing="0.1+2",
    ) as [gateway]:
        yield gateway


@asynccontextmanager
async def joined(gateway: Gateway, session_id: str, name: str, **fields: object) -> AsyncIterator[RawClient]:
    """A client in the session."""
    async with connected(gateway.url, session_id) as client:
        await client.join(name, **fields)
        yield client


async def answers(client: RawClient, ids: list[int]) -> list[Json]:
    """Send messages with these ids; their answers, in the order of the ids."""
    for number in ids:
        await client.say({"type": "message", "id": number, "text": str(number)})
    found: dict[int, Json] = {}
    while len(found) < len(ids):
        answer = await client.event_of("ack", "error")
        found[answer["id"]] = answer
    return [found[number] for number in ids]


async def test_messages_over_the_rate_are_refused_and_nothing_is_stored(strict: Gateway) -> None:
    """After the burst messages get `rate_limited` with the time to wait; they reach nobody, and the client stays."""
    session = await create_session(strict.url)
    async with joined(strict, session["id"], "Ana") as ana:
        begun = time.monotonic()
        got = await answers(ana, [1, 2, 3, 4, 5, 6])
        least = 10_000 - 1000 * (time.monotonic() - begun)  # a token comes every 10 s
        assert [answer["type"] for answer in got] == ["ack"] * 4 + ["error"] * 2
        for answer in got[4:]:
            assert (answer["data"]["code"], answer["data"]["retryable"]) == ("rate_limited", True)
            assert least - 1 <= answer["data"]["retry_after_ms"] <= 10_000
        await ana.say({"type": "ping", "id": 7})
        assert (await ana.event_of("pong"))["id"] == 7
        texts = [event["data"]["text"] for event in ana.heard if event["type"] == "message_received"]
        assert texts == ["1", "2", "3", "4"]
    assert Scrape(strict.url).of("seance_limited_total", what="messages_connection") == 2


async def test_the_connections_of_a_user_share_a_rate(strict: Gateway) -> None:
    """A user with two connections has no second burst."""
    session = await create_session(strict.url, multiple_connections=True)
    async with connected(strict.url, session["id"]) as first, connected(strict.url, session["id"]) as second:
        welcome = await first.join("Ana")
        await second.say({"type": "join", "token": welcome["data"]["token"]})
        await second.event_of("welcome")
        one, two = await answers(first, [1, 2, 3]), await answers(second, [4, 5, 6, 7])
        assert [answer["type"] for answer in (*one, *two)] == ["ack"] * 6 + ["error"]
    assert Scrape(strict.url).of("seance_limited_total", what="messages_user") == 1


async def test_typing_over_the_rate_is_dropped_in_silence(strict: Gateway) -> None:
    """Of many `typing` commands the others get the burst, and the sender hears nothing."""
    session = await create_session(strict.url)
    async with joined(strict, session["id"], "Ana") as ana, joined(strict, session["id"], "Bob") as bob:
        for _ in range(20):
            await ana.say({"type": "typing"})
        await answers(ana, [1])
        await bob.event_of("message_received")
        assert 1 <= [event["type"] for event in bob.heard].count("user_typing") <= 2
        assert not [event for event in ana.heard if event["type"] == "error"]
    assert Scrape(strict.url).of("seance_limited_total", what="typing") >= 18


async def test_a_flood_does_not_hold_up_the_others(services: Services, tmp_path: Path) -> None:
    """While one client's flood waits for its turns, other clients are answered; then the flood's end is honoured."""
    with running_gateways(services, tmp_path) as [gateway]:
        session = await create_session(gateway.url)
        async with joined(gateway, session["id"], "Flood") as flood, joined(gateway, session["id"], "Ana") as ana:
            sending = asyncio.create_task(flood.send(FLOOD + close(1000)))
            numbers = iter(range(1_000_000))
            answered = 0
            while (await call(gateway.url, "GET", "/health")).json()["sockets"] == 2:
                await answers(ana, [next(numbers)])
                answered += 1
            await sending
            assert answered > 1


async def test_a_drain_closes_a_client_whose_bytes_wait(services: Services, tmp_path: Path) -> None:
    """A client that is held to its rate gets `reconnect` and 1012, and its close frame is found behind the flood."""
    with running_gateways(services, tmp_path, limits="on", drain_wait_seconds=0) as [gateway]:
        session = await create_session(gateway.url)
        async with joined(gateway, session["id"], "Flood") as flood:
            sending = asyncio.create_task(flood.send(FLOOD))
            await eventually(lambda: _is_held_back(gateway))
            gateway.signal(signal.SIGTERM)
            await flood.event_of("reconnect")
            assert await flood.closed() == (1012, "restart")
            await sending
        assert await asyncio.to_thread(gateway.wait) == 0
    assert "code=1012" in gateway.log.read_text()


async def _is_held_back(gateway: Gateway) -> bool:
    return await asyncio.to_thread(lambda: Scrape(gateway.url).of("seance_limited_total", what="frames")) > 0
