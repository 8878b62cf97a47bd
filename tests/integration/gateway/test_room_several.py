"""Rooms in which a user has several connections: delivery, replacement, and late events."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from broker.sessions.live_sessions import LeaveOutcome
from gateway.protocol import close_codes
from tests.gateway_core import INFO, GatewayCore, gateway_core
from tests.redis_server import redial
from tests.session_state import ANA, BEN, CAT

SEVERAL = msgspec.structs.replace(INFO, multiple_connections=True)
SUMMARY = msgspec.structs.replace(INFO, presence="summary")


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core whose session allows several connections."""
    async with gateway_core(redis_url, SEVERAL) as core:
        yield core


@pytest.fixture
async def other_core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A second gateway core with the same session."""
    async with gateway_core(redis_url, SEVERAL) as other_core:
        yield other_core


async def test_every_connection_gets_every_event(core: GatewayCore, other_core: GatewayCore) -> None:
    """All connections of a user stay, and each gets every event once, from its own join on."""
    first = await core.join(ANA, connection="first")
    second = await core.join(ANA, connection="second")
    third = await other_core.join(ANA, connection="third")
    last = await core.say()
    for member in (first, second, third):
        await member.sees(last)
    assert first.seqs == second.seqs == third.seqs == [last]
    assert first.ending is second.ending is third.ending is None


async def test_typing_goes_to_others_only(core: GatewayCore, other_core: GatewayCore) -> None:
    """A user's own `user_typing` goes to none of their connections, on any gateway."""
    own = [await core.join(ANA, connection="1"), await core.join(ANA, connection="2")]
    own.append(await other_core.join(ANA, connection="3"))
    ben, cat = await core.join(BEN), await other_core.join(CAT)
    await core.publisher.ephemeral(INFO.id, "user_typing", (await core.sessions.users(INFO.id))[0])
    await core.mark(own[0], own[1], ben)
    await other_core.mark(own[2], cat)
    assert all("user_typing" not in member.types for member in own)
    assert "user_typing" in ben.types
    assert "user_typing" in cat.types


async def test_other_connections_go_on_when_one_ends(core: GatewayCore) -> None:
    """When one connection ends, the user's others go on; the room stays until the last one has ended."""
    first, second = await core.join(ANA, connection="first"), await core.join(ANA, connection="second")
    third = await core.join(ANA, connection="third")
    second.end(close_codes.LEFT)
    last = await core.say()
    await first.sees(last)
    await third.sees(last)
    assert (second.seqs, core.hub.room_count) == ([], 1)
    first.end(close_codes.LEFT)
    last = await core.say()
    await third.sees(last)
    third.end(close_codes.LEFT)
    assert core.hub.room_count == 0


async def test_a_removal_ends_every_connection_of_the_user(core: GatewayCore, other_core: GatewayCore) -> None:
    """A removed user's connections are ended on every gateway."""
    own = [await core.join(ANA, connection="1"), await core.join(ANA, connection="2")]
    own.append(await other_core.join(ANA, connection="3"))
    await core.sessions.remove(INFO.id, ANA)
    assert [await member.ends() for member in own] == [close_codes.REMOVED] * 3


async def test_a_closed_session_ends_every_connection(core: GatewayCore, other_core: GatewayCore) -> None:
    """Closing the session ends every connection of every user."""
    own = [await core.join(ANA, connection="1"), await core.join(ANA, connection="2")]
    own.append(await other_core.join(ANA, connection="3"))
    await core.sessions.close(INFO.id)
    assert [await member.ends() for member in own] == [close_codes.SESSION_CLOSED] * 3


async def test_the_seventeenth_connection_replaces_the_first(core: GatewayCore, other_core: GatewayCore) -> None:
    """The seventeenth connection replaces the first one, on whatever gateway; all others stay."""
    own = [await (core, other_core)[number % 2].join(ANA, connection=str(number)) for number in range(17)]
    assert await own[0].ends() == close_codes.REPLACED
    last = await core.say()
    for member in own[1:]:
        await member.sees(last)
        assert member.ending is None


async def test_late_replaced_events_end_no_newer_connection(redis_url: str) -> None:
    """`replaced` events that arrive late end no connection that came after them."""
    async with gateway_core(redis_url) as core, gateway_core(redis_url) as other_core:
        first = await core.join(ANA, connection="first")
        await core.shut(first)
        second = await other_core.join(ANA, connection="second")
        third = await core.join(ANA, connection="third")
        assert (first.ending, await second.ends()) == (close_codes.REPLACED, close_codes.REPLACED)
        await core.gate.holds(2)
        core.gate.open()
        await core.mark(third)
        assert third.ending is None


async def test_a_connection_replaced_before_the_attach_is_ended(redis_url: str) -> None:
    """A connection replaced elsewhere before its attach is ended, and replaces no other connection."""
    async with gateway_core(redis_url) as core, gateway_core(redis_url) as other_core:
        cat = await core.join(CAT)
        room = await core.enter()
        seat = await core.seat(ANA, connection="early")
        late = await other_core.join(ANA, connection="late")
        await core.mark(cat)
        early = core.recorder(room, ANA, "early")
        core.driver.seat(early.membership, seat.seq, seat.epoch)
        await core.left(room)
        assert (early.ending, early.events, late.ending) == (close_codes.REPLACED, [], None)
        assert [member.carrier for member in room.members] == [cat]
        assert room._join_buffer is None


async def test_a_user_removed_before_the_attach_is_ended(redis_url: str) -> None:
    """Under `summary` presence, without a sequenced event, a user removed before the attach is ended too."""
    async with gateway_core(redis_url, SUMMARY) as core:
        cat = await core.join(CAT)
        room = await core.enter()
        seat = await core.seat(ANA)
        await core.sessions.remove(INFO.id, ANA)
        await core.mark(cat)
        ana = core.recorder(room, ANA)
        core.driver.seat(ana.membership, seat.seq, seat.epoch)
        await core.left(room)
        assert (ana.ending, cat.ending) == (close_codes.REMOVED, None)


async def test_the_seat_check_ends_a_replaced_connection(redis_url: str) -> None:
    """A connection replaced during a broken subscription is ended by the seat check; the others stay."""
    async with gateway_core(redis_url) as core, gateway_core(redis_url) as other_core:
        first, cat = await core.join(ANA, connection="first"), await core.join(CAT)
        await core.shut(first, cat)
        second = await other_core.join(ANA, connection="second")
        await core.gate.holds(1)
        core.gate.lose(1)
        assert first.ending is None
        await redial(redis_url, core.listening.keeper, "pubsub")
        assert await first.ends() == close_codes.REPLACED
        core.gate.open()
        await core.mark(cat)
        assert cat.ending is second.ending is None


async def test_the_seat_check_ends_a_removed_user(redis_url: str) -> None:
    """Under `summary` presence the seat check ends a user who was removed meanwhile, whose token is invalid."""
    async with gateway_core(redis_url, SUMMARY) as core:
        ana, cat = await core.join(ANA), await core.join(CAT)
        await core.shut(ana, cat)
        await core.sessions.remove(INFO.id, ANA)
        await core.gate.holds(2)
        core.gate.lose(2)
        await redial(redis_url, core.listening.keeper, "pubsub")
        assert await ana.ends() == close_codes.RESYNC
        core.gate.open()
        await core.mark(cat)
        assert cat.ending is None


async def test_the_seat_check_keeps_connections_that_redis_knows(core: GatewayCore, redis_url: str) -> None:
    """The seat check keeps every connection that Redis knows, and ends one that Redis forgot."""
    own = [await core.join(ANA, connection=name) for name in ("1", "2", "3")]
    assert await core.sessions.leave(INFO.id, ANA, connection="2", is_lost=False) is LeaveOutcome.SHARED
    await redial(redis_url, core.listening.keeper, "pubsub")
    assert await own[1].ends() == close_codes.RESYNC
    await core.mark(own[0], own[2])
    assert own[0].ending is own[2].ending is None
