"""Room and hub over a real Redis: who gets what, once, in order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import pytest

from broker.errors import BrokerUnavailableError
from broker.events import User, instant
from gateway.protocol import close_codes
from gateway.protocol.frames import text_frame
from tests.gateway_core import INFO, House, house
from tests.session_state import ANA, BEN, CAT, OTHER_SESSION, eventually

SPIRITED = msgspec.structs.replace(INFO, spirit=True)


@pytest.fixture
async def home(redis_url: str) -> AsyncIterator[House]:
    """A gateway's house with an open session."""
    async with house(redis_url) as home:
        yield home


@pytest.fixture
async def next_door(redis_url: str) -> AsyncIterator[House]:
    """Another gateway's house, the same session."""
    async with house(redis_url) as next_door:
        yield next_door


async def test_everyone_gets_every_event(home: House, next_door: House) -> None:
    """On every gateway everybody gets the same events in the same order, from their own join on."""
    ana, ben = await home.join(ANA), await next_door.join(BEN)
    for number in range(100):
        await (home if number % 2 else next_door).say(str(number))
    cat = await home.join(CAT)
    for member in (ana, ben):
        await member.sees(103)
    await home.mark(ana, cat)
    assert ana.seqs == list(range(2, 104))
    assert ben.seqs == list(range(3, 104))
    assert ana.events[1:] == ben.events
    assert [event["data"]["text"] for event in ben.events[:-1]] == [str(number) for number in range(100)]
    assert (ana.types[0], ana.types[-1], cat.events) == ("user_joined", "user_joined", [])


async def test_events_of_one_tick_leave_in_one_write(home: House) -> None:
    """What arrived together is written together, one frame for each event."""
    ana = await home.join(ANA)
    await home.shut(ana)
    for _ in range(5):
        await home.say()
    await home.gate.holds(5)
    home.gate.open()
    await ana.sees(6)
    assert [len(write) for write in ana.writes][-1:] == [5]


async def test_batches_for_those_who_asked(home: House) -> None:
    """One client gets what arrived together as an array in one frame, another as frames; alone, an event is plain."""
    ana, ben = await home.join(ANA), await home.join(BEN, wants_batches=True)
    await home.shut(ana, ben)
    for text in "abc":
        await home.say(text)
    await home.gate.holds(3)
    home.gate.open()
    await ben.sees(5)
    await home.say("d")
    await ben.sees(6)
    assert [[type(frame) for frame in write] for write in ben.writes][-2:] == [[list], [dict]]
    assert [[type(frame) for frame in write] for write in ana.writes][-2:] == [[dict] * 3, [dict]]
    assert ben.events == ana.events[1:]


async def test_the_spirit_thinks_after_what_a_user_said(redis_url: str) -> None:
    """In a session with a spirit its thinking follows each user's message, and no other event."""
    async with house(redis_url, SPIRITED) as home:
        ana = await home.join(ANA)
        await home.say("from a user", user_id=ANA)
        await home.say("from a server")
        await home.publisher.message(SPIRITED.id, user_id=BEN, user_name="Spirit", text="hello", is_spirit=True)
        await home.join(BEN)
        await ana.sees(5)
    assert ana.types == ["message_received", "spirit_thinking", *["message_received"] * 2, "user_joined"]
    assert {"type", "ts", "data"} == ana.events[1].keys()


async def test_without_a_spirit_nobody_thinks(home: House) -> None:
    """A session without a spirit gets its messages only, unless a server says that somebody thinks."""
    ana = await home.join(ANA)
    await home.say("from a user", user_id=ANA)
    await home.publisher.ephemeral(INFO.id, "spirit_thinking")
    await home.mark(ana)
    assert ana.types == ["message_received", "spirit_thinking"]


async def test_typing_goes_to_the_others(home: House, next_door: House) -> None:
    """Whoever types does not hear of it; an event that came before goes first."""
    ana, ben, cat = await home.join(ANA), await home.join(BEN), await next_door.join(CAT)
    await home.shut(ana, ben)
    await home.say()
    await home.publisher.ephemeral(INFO.id, "user_typing", User(ANA, "Ana"))
    await home.gate.holds(2)
    home.gate.open()
    await home.mark(ana, ben)
    await next_door.mark(cat)
    assert ana.types == ["user_joined", "user_joined", "message_received"]
    assert ben.types == ["user_joined", "message_received", "user_typing"]
    assert cat.types == ["message_received", "user_typing"]
    assert ben.events[-1]["data"] == {"user": {"id": ANA, "name": "Ana"}}


@pytest.mark.parametrize("what", ["message", "typing"])
async def test_a_socket_that_ends_while_it_is_written_to(home: House, what: str) -> None:
    """A full buffer ends one member in the middle of the round; all others get theirs."""
    members = [await home.join(user) for user in (ANA, BEN, CAT)]
    await home.mark(*members)
    members[1].ends_at_write = close_codes.SLOW_CONSUMER
    if what == "message":
        await home.say()
    else:
        await home.publisher.ephemeral(INFO.id, "user_typing", User(None, "Somebody"))
    await home.mark(members[0], members[2])
    assert members[0].types[-1] == members[2].types[-1] == ("message_received" if what == "message" else "user_typing")
    assert (members[1].ending, members[0].ending) == (close_codes.SLOW_CONSUMER, None)


async def test_removed(home: House, next_door: House) -> None:
    """Whom the host removes gets what came before and is told so; the others see them go. On any gateway."""
    ana, ben = await home.join(ANA), await next_door.join(BEN)
    last = await home.say()
    assert await next_door.sessions.remove(INFO.id, ANA) == User(ANA, "Ana")
    assert await ana.ends() == close_codes.REMOVED
    await ben.sees(last + 1)
    assert ana.seqs[-1] == last
    assert (ben.types[-1], ben.events[-1]["data"]["reason"], ben.ending) == ("user_left", "removed", None)


async def test_closed(home: House, next_door: House) -> None:
    """Everybody gets the last event, and then the end; nothing is heard here any more."""
    ana, ben = await home.join(ANA), await next_door.join(BEN)
    last = await next_door.sessions.close(INFO.id)
    for member in (ana, ben):
        assert await member.ends() == close_codes.SESSION_CLOSED
        assert (member.seqs[-1], member.types[-1]) == (last, "session_closed")
    assert (home.hub.room_count, next_door.hub.room_count) == (0, 0)
    await home.hears()


async def test_replaced_on_the_same_gateway(home: House) -> None:
    """Whoever comes again ends the earlier connection, and gets what follows once."""
    first = await home.join(ANA, connection="first")
    second = await home.join(ANA, connection="second")
    await home.say()
    await home.mark(second)
    assert (first.ending, second.ending) == (close_codes.REPLACED, None)
    assert (first.seqs, second.seqs) == ([], [2])


async def test_replaced_on_another_gateway(home: House, next_door: House) -> None:
    """The gateway that holds the earlier connection ends it; the new one stays."""
    first = await home.join(ANA, connection="first")
    second = await next_door.join(ANA, connection="second")
    assert await first.ends() == close_codes.REPLACED
    await next_door.say()
    await second.sees(2)
    assert (second.ending, home.hub.room_count) == (None, 0)


async def test_replaced_again_and_again(home: House, next_door: House) -> None:
    """However often a user changes the gateway, the last connection stays, and only that."""
    connections = [await (home, next_door)[number % 2].join(ANA, connection=str(number)) for number in range(10)]
    for earlier in connections[:-1]:
        assert await earlier.ends() == close_codes.REPLACED
    assert connections[-1].ending is None


async def test_the_channel_is_heard_while_somebody_is_there(home: House) -> None:
    """The first local user brings the subscription, the last one takes it away."""
    assert home.hub.info(INFO.id) is None
    ana, ben = await home.join(ANA), await home.join(BEN)
    await home.hears(home.key)
    assert (home.hub.room_count, home.hub.info(INFO.id)) == (1, INFO)
    ana.end(close_codes.LEFT)
    await home.hears(home.key)
    ben.end(close_codes.LEFT)
    await home.hears()
    assert home.hub.room_count == 0


async def test_a_join_under_way_keeps_the_room(home: House) -> None:
    """While somebody is about to come the last one may go; the room ends with the join when that fails."""
    ana = await home.join(ANA)
    room = await home.hub.enter(INFO)
    ana.end(close_codes.LEFT)
    assert home.hub.rooms() == [room]
    await home.hears(home.key)
    home.hub.left(room)
    assert home.hub.rooms() == []
    await home.hears()


async def test_no_room_without_a_subscription(home: House, redis_url: str) -> None:
    """A join that can't hear the channel is refused, and leaves no room behind."""
    down = House(redis_url)
    with pytest.raises(BrokerUnavailableError):
        await down.hub.enter(INFO)
    assert down.hub.room_count == 0
    room = await home.hub.enter(INFO)
    home.hub.left(room)
    home.hub.drop_if_empty(room)
    assert home.hub.room_count == 0


async def test_a_join_that_is_given_up_leaves_no_room(home: House) -> None:
    """A client that goes while its gateway subscribes leaves nothing behind."""
    entering = asyncio.create_task(home.hub.enter(INFO))
    await asyncio.sleep(0)  # it waits now
    assert home.hub.room_count == 1
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert home.hub.room_count == 0
    await home.hears()


async def test_channels_of_nobody_here(home: House) -> None:
    """What comes late from a channel that was dropped is nobody's."""
    home.hub.heard(OTHER_SESSION.encode(), b"1 e -\n{}")
    home.hub.resubscribed(OTHER_SESSION.encode())
    assert home.hub.events_total == 0


async def test_totals(home: House) -> None:
    """Events are counted once, deliveries once for each socket."""
    await home.join(ANA)
    ben = await home.join(BEN)
    await home.mark(ben)
    before = home.hub.events_total, home.hub.deliveries_total
    for _ in range(3):
        last = await home.say()
    await ben.sees(last)
    assert (home.hub.events_total - before[0], home.hub.deliveries_total - before[1]) == (3, 6)


async def test_a_gateway_sends_everybody_away(home: House) -> None:
    """Every connection of every room ends, with what was queued for it before."""
    ana = await home.join(ANA)
    await home.shut(ana)
    last = await home.say()
    await home.gate.holds(1)
    home.gate.open()
    home.hub.end_all(close_codes.RESTART)
    assert (ana.ending, ana.seqs, home.hub.room_count) == (close_codes.RESTART, [last], 0)


async def test_presence_changes_at_most_once_a_second(redis_url: str) -> None:
    """A crowd that comes and goes makes one event a second, with the number that is right then."""
    big = msgspec.structs.replace(INFO, presence="summary")
    async with house(redis_url, big) as home:
        ana = await home.join(ANA)
        while len(ana.types) < 2:
            guest = await home.join(BEN)
            guest.end(close_codes.LEFT)
            await home.sessions.send_leave(INFO.id, BEN, connection=guest.id, is_lost=False)
        await home.join(CAT)
        await eventually(lambda: len(ana.types) > 2)
    assert set(ana.types) == {"presence_changed"}
    assert ana.events[0].keys() == {"type", "ts", "data"}
    assert ana.events[2]["data"] == {"user_count": 2}
    first, second, third = (datetime.fromisoformat(event["ts"]).timestamp() for event in ana.events)
    assert min(second - first, third - second) > 0.99


async def test_removed_under_summary_presence(redis_url: str) -> None:
    """Where no event tells of it the removed user's connection ends all the same."""
    big = msgspec.structs.replace(INFO, presence="summary")
    async with house(redis_url, big) as home:
        ana, ben = await home.join(ANA), await home.join(BEN)
        await home.sessions.remove(INFO.id, ANA)
        assert await ana.ends() == close_codes.REMOVED
        await eventually(lambda: ben.types == ["presence_changed"])
        assert ben.events[0]["data"] == {"user_count": 1}
        assert ben.events[0]["ts"] <= instant()


async def test_nothing_is_announced_after_the_last_has_left(redis_url: str) -> None:
    """A change that was to be announced is dropped with its room."""
    big = msgspec.structs.replace(INFO, presence="summary")
    async with house(redis_url, big) as home:
        ana = await home.join(ANA)
        await home.mark(ana)
        (room,) = home.hub.rooms()
        timer = room._presence_timer
        assert timer is not None
        ana.end(close_codes.LEFT)
        assert timer.cancelled()


async def test_an_answer_leaves_with_the_events(home: House) -> None:
    """What is answered to a member while events are read leaves in one write with them, before them; alone, at once."""
    ana, ben = await home.join(ANA), await home.join(BEN)
    await home.mark(ana, ben)
    room = home.hub.rooms()[0]
    before = len(ana.writes), len(ben.writes)
    home.hub.start_of_read()
    room.out.answer(ana, text_frame(b'{"type":"ack","data":{}}'))
    room.out.queue(b'{"type":"session_closed","data":{}}')
    assert (len(ana.writes), len(ben.writes)) == before
    home.hub.end_of_read()
    assert [[event["type"] for event in write] for write in ana.writes[before[0] :]] == [["ack", "session_closed"]]
    assert [[event["type"] for event in write] for write in ben.writes[before[1] :]] == [["session_closed"]]
    room.out.answer(ben, text_frame(b'{"type":"ack","data":{}}'))
    assert [event["type"] for event in ben.writes[-1]] == ["ack"]


async def test_an_answer_to_somebody_who_ended_is_dropped(home: House) -> None:
    """Nothing is written after a close frame."""
    ana = await home.join(ANA)
    await home.mark(ana)
    room = home.hub.rooms()[0]
    writes = len(ana.writes)
    home.hub.start_of_read()
    room.out.answer(ana, text_frame(b'{"type":"ack","data":{}}'))
    ana.end(close_codes.LEFT)
    home.hub.end_of_read()
    assert len(ana.writes) == writes
