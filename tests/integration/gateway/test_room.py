"""Rooms and the hub over a real Redis: which member gets which event, once and in order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import pytest

from broker.errors import BrokerUnavailableError
from broker.events import User, instant
from gateway.protocol import close_codes
from gateway.protocol.frames import text_frame
from tests.gateway_core import INFO, GatewayCore, gateway_core
from tests.session_state import ANA, BEN, CAT, OTHER_SESSION, eventually

SPIRITED = msgspec.structs.replace(INFO, spirit=True)


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with an open session."""
    async with gateway_core(redis_url) as core:
        yield core


@pytest.fixture
async def other_core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A second gateway core with the same session."""
    async with gateway_core(redis_url) as other_core:
        yield other_core


async def test_everyone_gets_every_event(core: GatewayCore, other_core: GatewayCore) -> None:
    """On every gateway each member gets the same events in the same order, from its own join on."""
    ana, ben = await core.join(ANA), await other_core.join(BEN)
    for number in range(100):
        await (core if number % 2 else other_core).say(str(number))
    cat = await core.join(CAT)
    for member in (ana, ben):
        await member.sees(103)
    await core.mark(ana, cat)
    assert ana.seqs == list(range(2, 104))
    assert ben.seqs == list(range(3, 104))
    assert ana.events[1:] == ben.events
    assert [event["data"]["text"] for event in ben.events[:-1]] == [str(number) for number in range(100)]
    assert (ana.types[0], ana.types[-1], cat.events) == ("user_joined", "user_joined", [])


async def test_events_of_one_tick_leave_in_one_write(core: GatewayCore) -> None:
    """Events that arrive together are sent in one write, with one frame for each event."""
    ana = await core.join(ANA)
    await core.shut(ana)
    for _ in range(5):
        await core.say()
    await core.gate.holds(5)
    core.gate.open()
    await ana.sees(6)
    assert [len(write) for write in ana.writes][-1:] == [5]


async def test_a_client_that_wants_batches_gets_an_array(core: GatewayCore) -> None:
    """Events that arrive together are one array for a client that wants batches; a single event is a plain object."""
    ana, ben = await core.join(ANA), await core.join(BEN, wants_batches=True)
    await core.shut(ana, ben)
    for text in "abc":
        await core.say(text)
    await core.gate.holds(3)
    core.gate.open()
    await ben.sees(5)
    await core.say("d")
    await ben.sees(6)
    assert [[type(frame) for frame in write] for write in ben.writes][-2:] == [[list], [dict]]
    assert [[type(frame) for frame in write] for write in ana.writes][-2:] == [[dict] * 3, [dict]]
    assert ben.events == ana.events[1:]


async def test_the_spirit_thinks_after_each_message_of_a_user(redis_url: str) -> None:
    """In a session with a spirit `spirit_thinking` follows each user's message, and no other event."""
    async with gateway_core(redis_url, SPIRITED) as core:
        ana = await core.join(ANA)
        await core.say("from a user", user_id=ANA)
        await core.say("from a server")
        await core.publisher.message(SPIRITED.id, user_id=ANA, user_name="Spirit", text="hello", is_spirit=True)
        await core.join(BEN)
        await ana.sees(5)
    assert ana.types == ["message_received", "spirit_thinking", *["message_received"] * 2, "user_joined"]
    assert {"type", "ts", "data"} == ana.events[1].keys()


async def test_a_session_without_a_spirit_gets_no_thinking(core: GatewayCore) -> None:
    """Without a spirit a session gets `spirit_thinking` only when a server publishes it."""
    ana = await core.join(ANA)
    await core.say("from a user", user_id=ANA)
    await core.publisher.ephemeral(INFO.id, "spirit_thinking")
    await core.mark(ana)
    assert ana.types == ["message_received", "spirit_thinking"]


async def test_typing_goes_to_the_others(core: GatewayCore, other_core: GatewayCore) -> None:
    """A user does not get their own `user_typing`; events from before are sent first."""
    ana, ben, cat = await core.join(ANA), await core.join(BEN), await other_core.join(CAT)
    await core.shut(ana, ben)
    await core.say()
    await core.publisher.ephemeral(INFO.id, "user_typing", User(ANA, "Ana"))
    await core.gate.holds(2)
    core.gate.open()
    await core.mark(ana, ben)
    await other_core.mark(cat)
    assert ana.types == ["user_joined", "user_joined", "message_received"]
    assert ben.types == ["user_joined", "message_received", "user_typing"]
    assert cat.types == ["message_received", "user_typing"]
    assert ben.events[-1]["data"] == {"user": {"id": ANA, "name": "Ana"}}


@pytest.mark.parametrize("what", ["message", "typing"])
async def test_a_member_that_ends_during_a_write_disturbs_no_other(core: GatewayCore, what: str) -> None:
    """A full buffer ends one member in the middle of a write; all other members get the events."""
    members = [await core.join(user) for user in (ANA, BEN, CAT)]
    await core.mark(*members)
    members[1].ends_at_write = close_codes.SLOW_CONSUMER
    if what == "message":
        await core.say()
    else:
        await core.publisher.ephemeral(INFO.id, "user_typing", User(None, "Somebody"))
    await core.mark(members[0], members[2])
    assert members[0].types[-1] == members[2].types[-1] == ("message_received" if what == "message" else "user_typing")
    assert (members[1].ending, members[0].ending) == (close_codes.SLOW_CONSUMER, None)


async def test_a_removed_user_is_told_and_ended(core: GatewayCore, other_core: GatewayCore) -> None:
    """A removed user gets the events from before and is ended, on any gateway; the others get `user_left`."""
    ana, ben = await core.join(ANA), await other_core.join(BEN)
    last = await core.say()
    assert (await other_core.sessions.remove(INFO.id, ANA)).user == User(ANA, "Ana")
    assert await ana.ends() == close_codes.REMOVED
    await ben.sees(last + 1)
    assert ana.seqs[-1] == last
    assert (ben.types[-1], ben.events[-1]["data"]["reason"], ben.ending) == ("user_left", "removed", None)


async def test_a_closed_session_ends_its_members_and_rooms(core: GatewayCore, other_core: GatewayCore) -> None:
    """Every member gets `session_closed` and is ended; the gateways unsubscribe."""
    ana, ben = await core.join(ANA), await other_core.join(BEN)
    last = await other_core.sessions.close(INFO.id)
    for member in (ana, ben):
        assert await member.ends() == close_codes.SESSION_CLOSED
        assert (member.seqs[-1], member.types[-1]) == (last, "session_closed")
    assert (core.hub.room_count, other_core.hub.room_count) == (0, 0)
    await core.hears()


async def test_a_new_connection_replaces_one_on_the_same_gateway(core: GatewayCore) -> None:
    """A user's new connection ends the earlier one, and gets each later event once."""
    first = await core.join(ANA, connection="first")
    second = await core.join(ANA, connection="second")
    await core.say()
    await core.mark(second)
    assert (first.ending, second.ending) == (close_codes.REPLACED, None)
    assert (first.seqs, second.seqs) == ([], [2])


async def test_a_new_connection_replaces_one_on_another_gateway(core: GatewayCore, other_core: GatewayCore) -> None:
    """The gateway with the earlier connection ends it; the new connection stays."""
    first = await core.join(ANA, connection="first")
    second = await other_core.join(ANA, connection="second")
    assert await first.ends() == close_codes.REPLACED
    await other_core.say()
    await second.sees(2)
    assert (second.ending, core.hub.room_count) == (None, 0)


async def test_only_the_last_of_many_connections_stays(core: GatewayCore, other_core: GatewayCore) -> None:
    """When a user changes gateways many times, only the last connection stays."""
    connections = [await (core, other_core)[number % 2].join(ANA, connection=str(number)) for number in range(10)]
    for earlier in connections[:-1]:
        assert await earlier.ends() == close_codes.REPLACED
    assert connections[-1].ending is None


async def test_the_channel_is_subscribed_while_the_room_has_members(core: GatewayCore) -> None:
    """The first local member makes the subscription, the last one drops it."""
    assert core.hub.info(INFO.id) is None
    ana, ben = await core.join(ANA), await core.join(BEN)
    await core.hears(core.key)
    assert (core.hub.room_count, core.hub.info(INFO.id)) == (1, INFO)
    ana.end(close_codes.LEFT)
    await core.hears(core.key)
    ben.end(close_codes.LEFT)
    await core.hears()
    assert core.hub.room_count == 0


async def test_a_join_under_way_keeps_the_room(core: GatewayCore) -> None:
    """During a join the last member may leave and the room stays; the room is dropped when the join fails."""
    ana = await core.join(ANA)
    room = await core.enter()
    ana.end(close_codes.LEFT)
    assert core.rooms() == [room]
    await core.hears(core.key)
    await core.left(room)
    assert core.rooms() == []
    await core.hears()


async def test_a_join_without_a_subscription_is_refused(core: GatewayCore, redis_url: str) -> None:
    """A join that can't subscribe to the channel is refused, and leaves no room behind."""
    down = GatewayCore(redis_url)
    with pytest.raises(BrokerUnavailableError):
        await down.enter()
    assert down.hub.room_count == 0
    await core.left(await core.enter())
    assert core.hub.room_count == 0


async def test_a_cancelled_join_leaves_no_room(core: GatewayCore) -> None:
    """A join that is cancelled during the subscription leaves no room behind."""
    entering = asyncio.create_task(core.enter())
    await asyncio.sleep(0)  # let the task reach its wait
    assert core.hub.room_count == 1
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert core.hub.room_count == 0
    await core.hears()


async def test_a_late_message_of_a_dropped_channel_is_ignored(core: GatewayCore) -> None:
    """A late message of a channel without a room is ignored."""
    core.hub.heard(OTHER_SESSION.encode(), b"1 e -\n{}")
    core.hub.resubscribed(OTHER_SESSION.encode())
    assert core.counters.events == 0


async def test_deliveries_are_counted_for_each_socket(core: GatewayCore) -> None:
    """Each event is counted once, each delivery once for each socket."""
    await core.join(ANA)
    ben = await core.join(BEN)
    await core.mark(ben)
    before = core.counters.events, core.counters.deliveries
    for _ in range(3):
        last = await core.say()
    await ben.sees(last)
    assert (core.counters.events - before[0], core.counters.deliveries - before[1]) == (3, 6)


async def test_the_end_of_all_rooms_flushes_first(core: GatewayCore) -> None:
    """Every member of every room is ended, after the events queued before."""
    ana = await core.join(ANA)
    await core.shut(ana)
    last = await core.say()
    await core.gate.holds(1)
    core.gate.open()
    core.hub.end(lambda _: True, close_codes.RESTART)
    assert (ana.ending, ana.seqs, core.hub.room_count) == (close_codes.RESTART, [last], 0)


async def test_presence_is_announced_at_most_once_a_second(redis_url: str) -> None:
    """Many joins and leaves make one `presence_changed` a second, with the latest number."""
    big = msgspec.structs.replace(INFO, presence="summary")
    async with gateway_core(redis_url, big) as core:
        ana = await core.join(ANA)
        while len(ana.types) < 2:
            ben = await core.join(BEN)
            ben.end(close_codes.LEFT)
            await core.sessions.leave(INFO.id, BEN, connection=ben.id, is_lost=False)
        await core.join(CAT)
        await eventually(lambda: len(ana.types) > 2)
    assert set(ana.types) == {"presence_changed"}
    assert ana.events[0].keys() == {"type", "ts", "data"}
    assert ana.events[2]["data"] == {"user_count": 2}
    first, second, third = (datetime.fromisoformat(event["ts"]).timestamp() for event in ana.events)
    assert min(second - first, third - second) > 0.99


async def test_a_removed_user_is_ended_under_summary_presence(redis_url: str) -> None:
    """Under `summary` presence, without a sequenced event, a removed user's connection is ended too."""
    big = msgspec.structs.replace(INFO, presence="summary")
    async with gateway_core(redis_url, big) as core:
        ana, ben = await core.join(ANA), await core.join(BEN)
        await core.sessions.remove(INFO.id, ANA)
        assert await ana.ends() == close_codes.REMOVED
        await eventually(lambda: ben.types == ["presence_changed"])
        assert ben.events[0]["data"] == {"user_count": 1}
        assert ben.events[0]["ts"] <= instant()


async def test_an_answer_leaves_with_the_events(core: GatewayCore) -> None:
    """During a read an answer leaves in one write with the events, before them; outside a read at once."""
    ana, ben = await core.join(ANA), await core.join(BEN)
    await core.mark(ana, ben)
    before = len(ana.writes), len(ben.writes)
    core.scheduler.start_of_read()
    core.driver.answer(ana.membership, text_frame(b'{"type":"ack","data":{}}'))
    core.hub.heard(core.key.encode(), b'0 a -\n{"type":"spirit_thinking","data":{}}')
    assert (len(ana.writes), len(ben.writes)) == before
    core.scheduler.end_of_read()
    assert [[event["type"] for event in write] for write in ana.writes[before[0] :]] == [["ack", "spirit_thinking"]]
    assert [[event["type"] for event in write] for write in ben.writes[before[1] :]] == [["spirit_thinking"]]
    core.driver.answer(ben.membership, text_frame(b'{"type":"ack","data":{}}'))
    assert [event["type"] for event in ben.writes[-1]] == ["ack"]


async def test_an_answer_to_an_ended_member_is_dropped(core: GatewayCore) -> None:
    """Nothing is written after a close frame."""
    ana = await core.join(ANA)
    await core.mark(ana)
    writes = len(ana.writes)
    core.scheduler.start_of_read()
    core.driver.answer(ana.membership, text_frame(b'{"type":"ack","data":{}}'))
    ana.end(close_codes.LEFT)
    core.scheduler.end_of_read()
    assert len(ana.writes) == writes
