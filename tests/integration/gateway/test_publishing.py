"""What members publish, over a real Redis: how much is in flight, and how fast a user may be."""

from collections.abc import AsyncIterator

import pytest

from gateway.limits.rate import UNLIMITED, Rate
from gateway.protocol.state_machine import Publish
from gateway.rooms.link_share import LinkShare
from gateway.rooms.publishing import Publishing
from gateway.rooms.tolls import Tolls
from tests.gateway_core import GatewayCore, gateway_core
from tests.session_state import ANA, BEN, eventually


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with an open session."""
    async with gateway_core(redis_url) as core:
        yield core


def publishing(core: GatewayCore, *, max_in_flight: int = 64, user_rate: Rate = UNLIMITED) -> Publishing:
    """The publishing of this core, at a time that stands still."""
    return Publishing(
        core.publisher,
        core.driver,
        core.counters,
        tolls=Tolls(UNLIMITED, UNLIMITED),
        link_share=LinkShare(max_in_flight),
        user_rate=user_rate,
        now=lambda: 100.0,
    )


async def test_a_member_has_one_typing_in_flight(core: GatewayCore) -> None:
    """Until Redis has answered, further `typing` of the member is dropped and counted; others go on."""
    ana, ben = await core.join(ANA), await core.join(BEN)
    part = publishing(core)
    for _ in range(3):
        part.announce_typing(ana.membership)
    part.announce_typing(ben.membership)
    assert (ana.membership.in_flight, ben.membership.in_flight) == (1, 1)
    assert core.counters.limited == {"typing": 2}
    await eventually(lambda: ana.membership.in_flight == 0)
    part.announce_typing(ana.membership)
    await eventually(lambda: ben.types.count("user_typing") == 2)
    assert core.counters.limited == {"typing": 2}


async def test_a_socket_with_its_share_in_flight_is_not_read(core: GatewayCore) -> None:
    """Messages and `typing` count together; the first answer lets the socket be read again."""
    ana = await core.join(ANA)
    part = publishing(core, max_in_flight=4)
    part.announce_typing(ana.membership)
    for number in range(3):
        assert ana.is_reading
        part.publish(ana.membership, Publish(number, "hi", None))
    assert not ana.is_reading
    await eventually(lambda: ana.is_reading)
    await eventually(lambda: ana.types.count("ack") == 3)
    assert ana.membership.in_flight == 0


async def test_a_message_over_the_rate_of_its_user_is_refused(core: GatewayCore) -> None:
    """The refused message gets its error, nothing is sent to Redis, and the carrier hears of it."""
    ana = await core.join(ANA)
    part = publishing(core, user_rate=Rate(0.5, 2))
    for number in range(3):
        part.publish(ana.membership, Publish(number, "hi", None))
    assert ana.membership.in_flight == 2
    await eventually(lambda: ana.types.count("ack") == 2)
    [error] = [event for event in ana.events if event["type"] == "error"]
    assert (error["id"], error["data"]["code"], error["data"]["retryable"]) == (2, "rate_limited", True)
    assert error["data"]["retry_after_ms"] == pytest.approx(2000, abs=1)
    [(what, wait_seconds)] = ana.limits
    assert what == "messages_user"
    assert wait_seconds == pytest.approx(2.0, abs=0.001)
