"""Seats that are given up: each is told to Redis until Redis has heard it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from broker.events import User
from tests.gateway_core import INFO, GatewayCore, gateway_core, without
from tests.session_state import ANA, eventually

ANA_USER = User(ANA, "Ana")


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with an open session, in which Ana has a seat."""
    async with gateway_core(redis_url) as core:
        await core.seat(ANA, connection="c-1")
        yield core


async def test_left(core: GatewayCore) -> None:
    """A seat that is given up is free once everything is settled."""
    core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == []


async def test_lost(core: GatewayCore) -> None:
    """A seat that was lost is kept for its user."""
    core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=True)
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == [ANA_USER]
    assert await core.link.call("ZCARD", f"{core.key.partition('session:')[0]}away") == 1


async def test_nothing_to_settle(core: GatewayCore) -> None:
    """With nobody gone there is nothing to wait for."""
    await asyncio.wait_for(core.leave_queue.settle(), 1)
    core.leave_queue.retry()
    await asyncio.wait_for(core.leave_queue.settle(), 1)


async def test_many(core: GatewayCore) -> None:
    """Everyone who leaves in one tick is settled together."""
    users = [User(f"u{number}", f"Guest {number}") for number in range(40)]
    await asyncio.gather(*(core.seat(str(user.id), user.name, connection="c-1") for user in users))
    for user in users:
        core.leave_queue.leave(INFO.id, user, "c-1", is_lost=False)
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == [ANA_USER]


async def test_while_redis_is_away(core: GatewayCore) -> None:
    """What Redis could not be told is told again when it may be back, as often as it takes."""
    async with without(core.link.keeper):
        core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
        await core.leave_queue.settle()
        core.leave_queue.retry()
        await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == [ANA_USER]
    core.leave_queue.retry()
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == []


async def test_the_connection_breaks_before_the_answer(core: GatewayCore) -> None:
    """A departure whose answer was lost is told again; that it was carried out already does no harm."""
    core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
    async with without(core.link.keeper):
        await core.leave_queue.settle()
    core.leave_queue.retry()
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == []


async def test_whoever_came_back_meanwhile_stays(core: GatewayCore) -> None:
    """A departure that is told late does not end the user's next connection."""
    async with without(core.link.keeper):
        core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
        await core.leave_queue.settle()
    await core.seat(ANA, connection="c-2")
    core.leave_queue.retry()
    await core.leave_queue.settle()
    assert await core.sessions.holders(INFO.id, ANA) == ("c-2",)


async def test_what_redis_refuses_for_good(core: GatewayCore) -> None:
    """A departure that can't be carried out is logged, and not repeated for ever."""
    await core.link.call("SET", f"{core.key}:users", "no hash")
    with capture_logs() as logs:
        core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
        await core.leave_queue.settle()
        core.leave_queue.retry()
        await core.leave_queue.settle()
    (line,) = (line for line in logs if line["event"] == "leave.failed")
    assert (line["log_level"], line["session_id"]) == ("error", INFO.id)
    await eventually(lambda: not core.leave_queue._failed)
