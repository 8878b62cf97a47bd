"""Seats that are given up: each is told to Redis until Redis has heard it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from broker.events import User
from tests.gateway_core import INFO, House, house, without
from tests.session_state import ANA, eventually

ANA_USER = User(ANA, "Ana")


@pytest.fixture
async def home(redis_url: str) -> AsyncIterator[House]:
    """A gateway's house with an open session, in which Ana has a seat."""
    async with house(redis_url) as home:
        await home.seat(ANA, connection="c-1")
        yield home


async def test_left(home: House) -> None:
    """A seat that is given up is free once everything is settled."""
    home.departures.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
    await home.departures.settle()
    assert await home.sessions.users(INFO.id) == []


async def test_lost(home: House) -> None:
    """A seat that was lost is kept for its user."""
    home.departures.leave(INFO.id, ANA_USER, "c-1", is_lost=True)
    await home.departures.settle()
    assert await home.sessions.users(INFO.id) == [ANA_USER]
    assert await home.link.call("ZCARD", f"{home.key.partition('session:')[0]}away") == 1


async def test_nothing_to_settle(home: House) -> None:
    """With nobody gone there is nothing to wait for."""
    await asyncio.wait_for(home.departures.settle(), 1)
    home.departures.retry()
    await asyncio.wait_for(home.departures.settle(), 1)


async def test_many(home: House) -> None:
    """Everyone who leaves in one tick is settled together."""
    users = [User(f"u{number}", f"Guest {number}") for number in range(40)]
    await asyncio.gather(*(home.seat(str(user.id), user.name, connection="c-1") for user in users))
    for user in users:
        home.departures.leave(INFO.id, user, "c-1", is_lost=False)
    await home.departures.settle()
    assert await home.sessions.users(INFO.id) == [ANA_USER]


async def test_while_redis_is_away(home: House) -> None:
    """What Redis could not be told is told again when it may be back, as often as it takes."""
    async with without(home.link.keeper):
        home.departures.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
        await home.departures.settle()
        home.departures.retry()
        await home.departures.settle()
    assert await home.sessions.users(INFO.id) == [ANA_USER]
    home.departures.retry()
    await home.departures.settle()
    assert await home.sessions.users(INFO.id) == []


async def test_the_connection_breaks_before_the_answer(home: House) -> None:
    """A departure whose answer was lost is told again; that it was carried out already does no harm."""
    home.departures.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
    async with without(home.link.keeper):
        await home.departures.settle()
    home.departures.retry()
    await home.departures.settle()
    assert await home.sessions.users(INFO.id) == []


async def test_whoever_came_back_meanwhile_stays(home: House) -> None:
    """A departure that is told late does not end the user's next connection."""
    async with without(home.link.keeper):
        home.departures.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
        await home.departures.settle()
    await home.seat(ANA, connection="c-2")
    home.departures.retry()
    await home.departures.settle()
    assert await home.sessions.holders(INFO.id, ANA) == ("c-2",)


async def test_what_redis_refuses_for_good(home: House) -> None:
    """A departure that can't be carried out is logged, and not repeated for ever."""
    await home.link.call("SET", f"{home.key}:users", "no hash")
    with capture_logs() as logs:
        home.departures.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
        await home.departures.settle()
        home.departures.retry()
        await home.departures.settle()
    (line,) = (line for line in logs if line["event"] == "departure.failed")
    assert (line["log_level"], line["session_id"]) == ("error", INFO.id)
    await eventually(lambda: not home.departures._failed)
