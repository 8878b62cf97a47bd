"""Rooms and several connections of one user: who gets what, who is replaced, and what late news does."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.protocol import close_codes
from tests.gateway_core import INFO, House, house
from tests.redis_server import redial
from tests.session_state import ANA, BEN, CAT

SEVERAL = msgspec.structs.replace(INFO, multiple_connections=True)
SUMMARY = msgspec.structs.replace(INFO, presence="summary")


@pytest.fixture
async def home(redis_url: str) -> AsyncIterator[House]:
    """A gateway's house; the session allows several connections."""
    async with house(redis_url, SEVERAL) as home:
        yield home


@pytest.fixture
async def next_door(redis_url: str) -> AsyncIterator[House]:
    """Another gateway's house, the same session."""
    async with house(redis_url, SEVERAL) as next_door:
        yield next_door


async def test_every_connection_gets_every_event(home: House, next_door: House) -> None:
    """All connections of a user stay, and each gets every event once, from its own join on."""
    first = await home.join(ANA, connection="first")
    second = await home.join(ANA, connection="second")
    third = await next_door.join(ANA, connection="third")
    last = await home.say()
    for member in (first, second, third):
        await member.sees(last)
    assert first.seqs == second.seqs == third.seqs == [last]
    assert first.ending is second.ending is third.ending is None


async def test_typing_goes_to_others_only(home: House, next_door: House) -> None:
    """A user's own typing comes to none of their connections, on any gateway."""
    own = [await home.join(ANA, connection="1"), await home.join(ANA, connection="2")]
    own.append(await next_door.join(ANA, connection="3"))
    ben, cat = await home.join(BEN), await next_door.join(CAT)
    await home.publisher.ephemeral(INFO.id, "user_typing", (await home.sessions.users(INFO.id))[0])
    await home.mark(own[0], own[1], ben)
    await next_door.mark(own[2], cat)
    assert all("user_typing" not in member.types for member in own)
    assert "user_typing" in ben.types
    assert "user_typing" in cat.types


async def test_one_ends(home: House) -> None:
    """When one connection ends, the others of the same user go on; the room is kept until the last has gone."""
    first, second = await home.join(ANA, connection="first"), await home.join(ANA, connection="second")
    third = await home.join(ANA, connection="third")
    second.end(close_codes.LEFT)
    last = await home.say()
    await first.sees(last)
    await third.sees(last)
    assert (second.seqs, home.hub.room_count) == ([], 1)
    first.end(close_codes.LEFT)
    last = await home.say()
    await third.sees(last)
    third.end(close_codes.LEFT)
    assert home.hub.room_count == 0


async def test_removed(home: House, next_door: House) -> None:
    """Removing a user ends every connection they have, on every gateway."""
    own = [await home.join(ANA, connection="1"), await home.join(ANA, connection="2")]
    own.append(await next_door.join(ANA, connection="3"))
    await home.sessions.remove(INFO.id, ANA)
    assert [await member.ends() for member in own] == [close_codes.REMOVED] * 3


async def test_closed(home: House, next_door: House) -> None:
    """Closing the session ends every connection."""
    own = [await home.join(ANA, connection="1"), await home.join(ANA, connection="2")]
    own.append(await next_door.join(ANA, connection="3"))
    await home.sessions.close(INFO.id)
    assert [await member.ends() for member in own] == [close_codes.SESSION_CLOSED] * 3


async def test_beyond_the_bound(home: House, next_door: House) -> None:
    """The seventeenth connection replaces the first, wherever that is; all others stay."""
    own = [await (home, next_door)[number % 2].join(ANA, connection=str(number)) for number in range(17)]
    assert await own[0].ends() == close_codes.REPLACED
    last = await home.say()
    for member in own[1:]:
        await member.sees(last)
        assert member.ending is None


async def test_late_news_of_a_replacement(redis_url: str) -> None:
    """News of replacements that come late, after the user came yet again, end nobody who came after."""
    async with house(redis_url) as home, house(redis_url) as next_door:
        first = await home.join(ANA, connection="first")
        await home.shut(first)
        second = await next_door.join(ANA, connection="second")
        third = await home.join(ANA, connection="third")
        assert (first.ending, await second.ends()) == (close_codes.REPLACED, close_codes.REPLACED)
        await home.gate.holds(2)
        home.gate.open()
        await home.mark(third)
        assert third.ending is None


async def test_replaced_before_the_socket_was_attached(redis_url: str) -> None:
    """Whoever was replaced elsewhere before the own socket was attached is told so, and takes nobody's place."""
    async with house(redis_url) as home, house(redis_url) as next_door:
        cat = await home.join(CAT)
        room = await home.hub.enter(INFO)
        seat = await home.seat(ANA, connection="early")
        late = await next_door.join(ANA, connection="late")
        await home.mark(cat)
        early = home.recorder(room, ANA, "early")
        room.seat(early, seat.seq, seat.epoch)
        home.hub.left(room)
        assert (early.ending, early.events, late.ending) == (close_codes.REPLACED, [], None)
        assert list(room.users) == [cat]
        assert room._meanwhile is None


async def test_removed_before_the_socket_was_attached(redis_url: str) -> None:
    """Under summary presence, where no event tells of it, whoever was removed meanwhile is ended all the same."""
    async with house(redis_url, SUMMARY) as home:
        cat = await home.join(CAT)
        room = await home.hub.enter(SUMMARY)
        seat = await home.seat(ANA)
        await home.sessions.remove(INFO.id, ANA)
        await home.mark(cat)
        ana = home.recorder(room, ANA)
        room.seat(ana, seat.seq, seat.epoch)
        home.hub.left(room)
        assert (ana.ending, cat.ending) == (close_codes.REMOVED, None)


async def test_news_of_a_replacement_that_was_lost(redis_url: str) -> None:
    """Whoever was replaced while the channel was not heard is told when it is heard again; the others stay."""
    async with house(redis_url) as home, house(redis_url) as next_door:
        first, cat = await home.join(ANA, connection="first"), await home.join(CAT)
        await home.shut(first, cat)
        second = await next_door.join(ANA, connection="second")
        await home.gate.holds(1)
        home.gate.lose(1)
        assert first.ending is None
        await redial(redis_url, home.listening.keeper, "pubsub")
        assert await first.ends() == close_codes.REPLACED
        home.gate.open()
        await home.mark(cat)
        assert cat.ending is second.ending is None


async def test_news_of_a_removal_that_was_lost(redis_url: str) -> None:
    """Under summary presence, whoever was removed meanwhile is sent away, and has no token to come back."""
    async with house(redis_url, SUMMARY) as home:
        ana, cat = await home.join(ANA), await home.join(CAT)
        await home.shut(ana, cat)
        await home.sessions.remove(INFO.id, ANA)
        await home.gate.holds(2)
        home.gate.lose(2)
        await redial(redis_url, home.listening.keeper, "pubsub")
        assert await ana.ends() == close_codes.RESYNC
        home.gate.open()
        await home.mark(cat)
        assert cat.ending is None


async def test_every_connection_is_known_again(home: House, redis_url: str) -> None:
    """Of several connections all those that Redis knows stay when the channel is heard again; one it forgot goes."""
    own = [await home.join(ANA, connection=name) for name in ("1", "2", "3")]
    assert await home.sessions.send_leave(INFO.id, ANA, connection="2", is_lost=False) == 3
    await redial(redis_url, home.listening.keeper, "pubsub")
    assert await own[1].ends() == close_codes.RESYNC
    await home.mark(own[0], own[2])
    assert own[0].ending is own[2].ending is None
