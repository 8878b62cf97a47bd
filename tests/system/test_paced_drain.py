"""A gateway that drains sends its clients elsewhere, spread over a window, and nobody misses or sees anything."""

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway.lifecycle.drain import MOST_MS
from tests.gateways import Gateway, running_gateways
from tests.local import LocalCluster
from tests.raw_client import HEADERS, RawClient, connected, request
from tests.reconnecting_clients import ReconnectingClient, all_in, staying
from tests.rest import call, create_session
from tests.services import Services
from tests.waiting import eventually

WINDOW_SECONDS = 3
GUESTS = 300
ROOMS = 10
# Much more than the test needs before the clients are told.
WAIT_SECONDS = 3


class Talk:
    """What guests say to each other, one after the other, until it ends."""

    def __init__(self, speakers: Sequence[ReconnectingClient]) -> None:
        self._speakers = speakers
        self._is_over = False

    async def run(self) -> None:
        """Talk until `end`."""
        await asyncio.gather(*(self._speak(speaker) for speaker in self._speakers))

    def end(self) -> None:
        """Everybody finishes their sentence."""
        self._is_over = True

    async def _speak(self, speaker: ReconnectingClient) -> None:
        for number in count(1):
            await speaker.say(f"{speaker.name} {number}")
            await asyncio.sleep(0.05)  # as people do
            if self._is_over:
                return


@contextlib.asynccontextmanager
async def talking(speakers: Sequence[ReconnectingClient]) -> AsyncIterator[None]:
    """These talk meanwhile; at the end everything that was said is acknowledged."""
    talk = Talk(speakers)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk.run())
        yield
        talk.end()


async def check_books(guests: Sequence[ReconnectingClient], said: Sequence[ReconnectingClient]) -> None:
    """Everyone got every message of their session exactly once, in the same order, and saw nobody come or go."""
    for guest in guests:
        seqs = {text: seq for one in said if one.session_id == guest.session_id for text, seq in one.seqs.items()}
        expected = sorted(seqs, key=lambda text: seqs[text])

        async def has_all(guest: ReconnectingClient = guest, expected: Sequence[str] = expected) -> bool:
            return len(guest.texts) >= len(expected)

        await eventually(has_all)
        assert expected
        assert guest.texts == expected
        assert guest.faults == []


async def first_unready(gateway: Gateway) -> float:
    """When `/ready` first answered 503, by the loop's clock."""
    while (await call(gateway.url, "GET", "/ready")).status_code != 503:
        pass
    return asyncio.get_running_loop().time()


async def test_a_drain_is_spread_over_the_window(services: Services, tmp_path: Path) -> None:
    """300 clients go one by one over the window, talk on until then and after, and nobody is seen to come or go."""
    settings: dict[str, Any] = {"drain_wait_seconds": WAIT_SECONDS, "drain_window_seconds": WINDOW_SECONDS}
    with running_gateways(services, tmp_path, 2, wait=True, **settings) as [first, second]:
        sessions = [await create_session(first.url, max_users=100) for _ in range(ROOMS)]
        guests = [
            ReconnectingClient(first.url, sessions[number % ROOMS]["id"], f"guest {number}") for number in range(GUESTS)
        ]
        witnesses = [ReconnectingClient(second.url, session["id"], "witness") for session in sessions]
        async with staying(guests), staying(witnesses), talking(guests[:ROOMS]):
            for guest in guests:
                guest.url = second.url
            first.signal(signal.SIGTERM)
            unready_at = await first_unready(first)
            status, _, _, writer = await request(first.url, f"/ws/{sessions[0]['id']}", HEADERS)
            writer.close()
            assert status == 503
            assert await asyncio.to_thread(first.wait) == 0
            await all_in(guests)
        await check_books([*guests, *witnesses], guests[:ROOMS])
        assert [witness.came_and_went() for witness in witnesses] == [[]] * ROOMS
        farewells = [farewell for guest in guests for farewell in guest.farewells]
        assert [farewell.code for farewell in farewells] == [1012] * GUESTS
        assert all(farewell.reconnect is not None for farewell in farewells)
        went = sorted(farewell.at for farewell in farewells)
        assert went[0] > unready_at
        assert drain_seconds(first) > WAIT_SECONDS + 0.9 * WINDOW_SECONDS


def drain_seconds(gateway: Gateway) -> float:
    """How long the gateway's clock says that the drain took."""
    [line] = [line for line in gateway.log.read_text().splitlines() if "gateway.drained" in line]
    found = re.search(r"\bseconds=([\d.]+)", line)
    assert found is not None, line
    return float(found[1])


async def test_a_second_signal_sends_everyone_away_at_once(services: Services, tmp_path: Path) -> None:
    """A second SIGTERM ends wait and pacing: everyone goes at once, told to come back over time, and keeps the seat."""
    settings: dict[str, Any] = {
        "drain_wait_seconds": 60,
        "drain_window_seconds": 300,
        "shutdown_timeout_seconds": 600,
        "log_level": "warning",
    }
    with running_gateways(services, tmp_path, 2, wait=True, **settings) as [first, second]:
        session = await create_session(first.url, max_users=1000)
        witness = ReconnectingClient(second.url, session["id"], "witness")
        guests = [ReconnectingClient(first.url, session["id"], f"guest {number}") for number in range(50)]
        others = [await create_session(first.url) for _ in range(50)]
        async with contextlib.AsyncExitStack() as idle:
            upgrades = [connected(first.url, other["id"]) for other in others for _ in range(10)]
            silent = await asyncio.gather(*(idle.enter_async_context(upgrade) for upgrade in upgrades))
            async with staying(guests), staying([witness]):
                seen = len(witness.events)
                for guest in guests:
                    guest.url = second.url
                leaving = asyncio.gather(*(last_type(client) for client in silent))
                first.signal(signal.SIGTERM)
                await first_unready(first)
                first.signal(signal.SIGTERM)
                assert await asyncio.to_thread(first.wait) == 0
                assert await leaving == ["reconnect"] * len(silent)
                await all_in(guests)
                await guests[0].say("here")
                await check_books([witness, *guests], guests[:1])
            assert witness.events[seen:] == witness.events[-1:]
        farewells = [farewell for guest in guests for farewell in guest.farewells]
        assert {farewell.code for farewell in farewells} == {1012}
        # The clients of a drain at its own pace are told to come back within MOST_MS.
        assert max(farewell.reconnect["after_ms"] for farewell in farewells if farewell.reconnect) > MOST_MS
        # Its wait would be as long; the end of the block sends the second signal.
        second.signal(signal.SIGTERM)
        await first_unready(second)


async def last_type(client: RawClient) -> str:
    """The type of the only event, which the close follows."""
    kind: str = (await client.event())["type"]
    assert await client.closed() == (1012, "restart")
    return kind


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """A running cluster of two gateways behind HAProxy."""
    local = LocalCluster(tmp_path / "home", DRAIN_WINDOW_SECONDS="1", LOG_LEVEL="warning")
    local.up(gateways=2, workers=1)
    try:
        yield local
    finally:
        local.down()


async def test_a_restart_and_a_scale_down_lose_nothing(cluster: LocalCluster) -> None:
    """`seance restart` and `scale` to fewer, in the middle of a conversation: every message once, nobody seen to go."""
    url = cluster.status()["url"]
    sessions = [await create_session(url, max_users=100) for _ in range(4)]
    guests = [ReconnectingClient(url, sessions[number % 4]["id"], f"guest {number}") for number in range(40)]
    async with staying(guests):
        before = [len(guest.events) for guest in guests]
        async with talking(guests[:4]):
            restarted = await asyncio.to_thread(cluster.seance, "restart")
            scaled = await asyncio.to_thread(cluster.seance, "scale", "--gateways", "1")
            await all_in(guests)
        await check_books(guests, guests[:4])
    for number in (1, 2):
        assert f"gw-{number}: draining (" in restarted.stdout
        assert f"gw-{number}: replaced ({number} of 2)" in restarted.stdout
    assert "gw-2: draining (" in scaled.stdout
    codes = {farewell.code for guest in guests for farewell in guest.farewells}
    assert codes == {1012}
    later = [event for guest, start in zip(guests, before, strict=True) for event in guest.events[start:]]
    assert {event["type"] for event in later} == {"message_received"}
