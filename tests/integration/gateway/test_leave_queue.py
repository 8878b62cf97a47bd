"""The leave queue: each leave is sent to Redis until Redis confirms the leave."""

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


async def test_a_seat_is_free_once_its_leave_is_settled(core: GatewayCore) -> None:
    """A seat that is given up is free once the queue is settled."""
    core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == []


async def test_a_lost_connection_keeps_its_seat(core: GatewayCore) -> None:
    """The seat of a lost connection is kept for its user."""
    core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=True)
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == [ANA_USER]
    assert await core.link.call("ZCARD", f"{core.key.partition('session:')[0]}away") == 1


async def test_an_empty_queue_settles_at_once(core: GatewayCore) -> None:
    """Without leaves there is nothing to wait for."""
    await asyncio.wait_for(core.leave_queue.settle(), 1)
    core.leave_queue.retry()
    await asyncio.wait_for(core.leave_queue.settle(), 1)


async def test_leaves_of_one_tick_are_settled_together(core: GatewayCore) -> None:
    """All leaves of one tick are settled together."""
    users = [User(f"u{number}", f"Guest {number}") for number in range(40)]
    await asyncio.gather(*(core.seat(str(user.id), user.name, connection="c-1") for user in users))
    for user in users:
        core.leave_queue.leave(INFO.id, user, "c-1", is_lost=False)
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == [ANA_USER]


async def test_a_failed_leave_is_sent_again_at_each_retry(core: GatewayCore) -> None:
    """A leave that failed is sent again at every retry until Redis confirms it."""
    async with without(core.link.keeper):
        core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
        await core.leave_queue.settle()
        core.leave_queue.retry()
        await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == [ANA_USER]
    core.leave_queue.retry()
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == []


async def test_a_leave_whose_answer_was_lost_is_sent_again(core: GatewayCore) -> None:
    """A leave whose answer was lost is sent again, which changes nothing when Redis has carried it out."""
    core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
    async with without(core.link.keeper):
        await core.leave_queue.settle()
    core.leave_queue.retry()
    await core.leave_queue.settle()
    assert await core.sessions.users(INFO.id) == []


async def test_a_late_leave_does_not_end_the_next_connection(core: GatewayCore) -> None:
    """A leave that is sent late does not free the seat of the user's next connection."""
    async with without(core.link.keeper):
        core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
        await core.leave_queue.settle()
    await core.seat(ANA, connection="c-2")
    core.leave_queue.retry()
    await core.leave_queue.settle()
    assert await core.sessions.holders(INFO.id, ANA) == ("c-2",)


async def test_a_refused_leave_is_logged_and_not_repeated(core: GatewayCore) -> None:
    """A leave that Redis refuses is logged and not repeated."""
    await core.link.call("SET", f"{core.key}:users", "no hash")
    with capture_logs() as logs:
        core.leave_queue.leave(INFO.id, ANA_USER, "c-1", is_lost=False)
        await core.leave_queue.settle()
        core.leave_queue.retry()
        await core.leave_queue.settle()
    (line,) = (line for line in logs if line["event"] == "leave.failed")
    assert (line["log_level"], line["session_id"]) == ("error", INFO.id)
    await eventually(lambda: not core.leave_queue._failed)
