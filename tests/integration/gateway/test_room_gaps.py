"""Rooms whose events come twice, late or never, or while Redis is down."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from broker.errors import BrokerUnavailableError
from broker.redis.futures import ignore_result
from broker.redis.link import Link, connected
from gateway.protocol import close_codes
from gateway.rooms.sequencer import ATTEMPTS
from tests.gateway_core import INFO, GatewayCore, gateway_core, without
from tests.redis_server import RedisServer, redial
from tests.session_state import ANA, BEN, eventually


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with an open session."""
    async with gateway_core(redis_url) as core:
        yield core


@pytest.fixture
async def quick_core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with a short retry delay."""
    async with gateway_core(redis_url, retry_seconds=0.01) as core:
        yield core


async def test_repeated_events_are_dropped(core: GatewayCore) -> None:
    """An event that arrives several times is delivered once."""
    ana = await core.join(ANA)
    await core.shut(ana)
    for _ in range(3):
        await core.say()
    await core.gate.holds(3)
    core.gate.let(2, again=True)
    core.gate.let(3, again=True)
    core.gate.open()
    await ana.sees(4)
    await core.mark(ana)
    assert (ana.seqs, ana.ending) == ([2, 3, 4], None)


async def test_a_gap_is_filled_from_the_log(core: GatewayCore) -> None:
    """A missing event is read from the log, and later events wait; every member gets one order."""
    ana, ben = await core.join(ANA), await core.join(BEN)
    await core.shut(ana, ben)
    for number in range(6):
        await core.say(str(number))
    await core.gate.holds(6)
    core.gate.lose(2)
    core.gate.let(1)
    core.gate.lose(1)
    core.gate.open()
    await ben.sees(8)
    await core.mark(ana, ben)
    assert ana.seqs == list(range(2, 9))
    assert ben.seqs == list(range(3, 9))
    assert [event["data"]["text"] for event in ben.events] == list("012345")
    assert "gap" not in ben.types


async def test_events_missing_from_the_log_are_announced(core: GatewayCore) -> None:
    """Events that are no longer in the log are announced as a gap, at its start or in its middle."""
    ana = await core.join(ANA)
    await core.shut(ana)
    for _ in range(7):
        await core.say()
    await core.gate.holds(7)
    for seq in (2, 3, 5, 6):
        await core.link.call("XDEL", core.log_key, f"{seq}-0")
    core.gate.lose(6)
    core.gate.open()
    await ana.sees(8)
    assert [(event["type"], event.get("seq") or event["data"]) for event in ana.events] == [
        ("gap", {"from": 2, "to": 3}),
        ("message_received", 4),
        ("gap", {"from": 5, "to": 6}),
        ("message_received", 7),
        ("message_received", 8),
    ]


async def test_a_held_event_that_the_log_lacks_is_delivered(core: GatewayCore) -> None:
    """An event held during the read of the log is delivered, and a gap before the event is announced."""
    ana = await core.join(ANA)
    await core.shut(ana)
    for _ in range(3):
        await core.say()
    await core.gate.holds(3)
    await core.link.call("DEL", core.log_key)
    core.gate.lose(1)
    core.gate.open()
    await ana.sees(4)
    assert ana.types == ["gap", "message_received", "message_received"]
    assert ana.seqs == [3, 4]


async def test_a_gap_of_several_pages_is_filled(core: GatewayCore) -> None:
    """A gap larger than one page of the log is filled page by page."""
    ana = await core.join(ANA)
    await core.shut(ana)
    await asyncio.gather(*(core.say(str(number)) for number in range(1200)))
    await core.gate.holds(1200)
    core.gate.lose(1199)
    core.gate.open()
    await ana.sees(1201)
    await core.say("after")
    await ana.sees(1202)
    assert ana.seqs == list(range(2, 1203))


async def test_a_gap_of_exactly_one_page_is_filled(core: GatewayCore) -> None:
    """A gap of exactly one page is filled, and no gap is announced."""
    ana = await core.join(ANA)
    await core.shut(ana)
    await asyncio.gather(*(core.say() for _ in range(512)))
    await core.gate.holds(512)
    core.gate.lose(511)
    core.gate.open()
    await ana.sees(513)
    await core.mark(ana)
    assert (ana.seqs, len(ana.types)) == (list(range(2, 514)), 512)


async def test_events_missed_by_the_subscriber_are_delivered(core: GatewayCore) -> None:
    """After a broken subscription all missed events are delivered, without a new event."""
    ana = await core.join(ANA)
    async with without(core.listening.keeper):
        for _ in range(3):
            await core.say()
    await ana.sees(4)
    assert ana.seqs == [2, 3, 4]


async def test_a_broken_subscription_without_events_changes_nothing(core: GatewayCore, redis_url: str) -> None:
    """A subscription that broke while no event came changes nothing."""
    ana = await core.join(ANA)
    await redial(redis_url, core.listening.keeper, "pubsub")
    await core.say()
    await ana.sees(2)
    assert (ana.seqs, ana.ending) == ([2], None)


async def test_a_missed_close_is_read_from_the_log(core: GatewayCore) -> None:
    """Members that missed `session_closed` get it from the log, and are ended."""
    ana = await core.join(ANA)
    async with without(core.listening.keeper):
        await core.say()
        await core.sessions.close(INFO.id)
    assert await ana.ends() == close_codes.SESSION_CLOSED
    assert (ana.seqs, core.hub.room_count) == ([2, 3], 0)


async def test_a_missed_removal_is_read_from_the_log(core: GatewayCore) -> None:
    """A user who was removed in the meantime is ended at that event of the log; the others go on."""
    ana, ben = await core.join(ANA), await core.join(BEN)
    await core.mark(ana, ben)
    async with without(core.listening.keeper):
        await core.say()
        await core.sessions.remove(INFO.id, ANA)
        await core.say()
    await ben.sees(5)
    assert (ana.ending, ana.seqs) == (close_codes.REMOVED, [2, 3])
    assert (ben.ending, ben.seqs) == (None, [3, 4, 5])


@contextlib.asynccontextmanager
async def unreadable_log(core: GatewayCore) -> AsyncIterator[None]:
    """Make Redis refuse every read of the log, for a reason that does not pass by itself."""
    await core.link.call("RENAME", core.log_key, "kept")
    await core.link.call("SET", core.log_key, "no stream")
    yield
    await core.link.call("RENAME", "kept", core.log_key)


async def test_an_unreadable_log_ends_the_members(quick_core: GatewayCore) -> None:
    """When Redis goes on refusing the log, every member is ended with 4003."""
    ana = await quick_core.join(ANA)
    async with unreadable_log(quick_core):
        quick_core.gate.heard(quick_core.key.encode(), b"9 e -\n{}")
        assert await ana.ends() == close_codes.RESYNC
    assert (ana.events, quick_core.hub.room_count) == ([], 0)


async def test_a_room_that_gave_up_retries_as_often_again(quick_core: GatewayCore) -> None:
    """A room that gave up, and is kept by a join, retries as often the next time."""
    ana = await quick_core.join(ANA)
    room = await quick_core.enter()
    async with unreadable_log(quick_core):
        quick_core.gate.heard(quick_core.key.encode(), b"9 e -\n{}")
        assert await ana.ends() == close_codes.RESYNC
    ben = await quick_core.join(BEN)
    await quick_core.mark(ben)
    async with unreadable_log(quick_core):
        quick_core.gate.heard(quick_core.key.encode(), b"9 e -\n{}")
        await eventually(lambda: 1 < room.sequencer._attempts < 5)
        assert ben.ending is None
    await quick_core.left(room)


async def test_an_outage_ends_no_member_however_long_it_is(quick_core: GatewayCore) -> None:
    """While Redis is away no member is ended: the log is read until Redis is back, and the gap is filled."""
    ana = await quick_core.join(ANA)
    await quick_core.shut(ana)
    for _ in range(3):
        await quick_core.say()
    await quick_core.gate.holds(3)
    quick_core.gate.lose(2)
    async with without(quick_core.link.keeper):
        quick_core.gate.open()
        await eventually(lambda: quick_core.counters.log_reads > ATTEMPTS + 2)
    await ana.sees(4)
    assert (ana.seqs, ana.ending) == ([2, 3, 4], None)


async def test_a_busy_redis_ends_no_member(quick_core: GatewayCore, redis_url: str) -> None:
    """While an endless script holds Redis up, the log can't be read; that passes, and no member is ended."""
    ana = await quick_core.join(ANA)
    await quick_core.shut(ana)
    for _ in range(3):
        await quick_core.say()
    await quick_core.gate.holds(3)
    quick_core.gate.lose(2)
    async with (
        connected(redis_url, timeout_seconds=60, name="endless") as endless,
        a_busy_redis(quick_core, endless),
    ):
        quick_core.gate.open()
        await eventually(lambda: quick_core.counters.log_reads > ATTEMPTS + 2)
    await ana.sees(4)
    assert (ana.seqs, ana.ending) == ([2, 3, 4], None)


@contextlib.asynccontextmanager
async def a_busy_redis(core: GatewayCore, endless: Link) -> AsyncIterator[None]:
    """Let an endless script run, so that Redis answers everything with BUSY."""
    await core.link.call("CONFIG", "SET", "busy-reply-threshold", 10)
    running = endless.call("EVAL", "while true do end", 0)
    running.add_done_callback(ignore_result)
    await eventually(lambda: _is_refused(core))
    yield
    await core.link.call("SCRIPT", "KILL")
    await asyncio.wait((running,))  # it ends a moment after the answer
    await core.link.call("CONFIG", "SET", "busy-reply-threshold", 5000)


async def _is_refused(core: GatewayCore) -> bool:
    try:
        await core.link.call("PING")
    except BrokerUnavailableError as error:
        return "BUSY" in str(error)
    return False


async def test_a_rebuilt_hot_state_ends_the_members(core: GatewayCore, redis_url: str) -> None:
    """When the hot state was rebuilt in the meantime, every member is ended: the seqs do not continue."""
    ana = await core.join(ANA)
    await core.mark(ana)  # the join was heard, and the log read for it
    await core.link.call("DEL", core.key)
    await core.sessions.open(INFO, max_seq=1)
    await redial(redis_url, core.listening.keeper, "pubsub")
    assert await ana.ends() == close_codes.RESYNC
    assert core.hub.room_count == 0


async def test_a_session_unknown_to_redis_ends_its_members(core: GatewayCore, redis_url: str) -> None:
    """When Redis no longer holds the session, every member is ended."""
    ana = await core.join(ANA)
    await core.mark(ana)  # the join was heard, and the log read for it
    await core.link.call("FLUSHALL")
    await redial(redis_url, core.listening.keeper, "pubsub")
    assert await ana.ends() == close_codes.RESYNC


async def test_repeated_breaks_while_catching_up_lose_nothing(core: GatewayCore) -> None:
    """A connection that breaks repeatedly while the room catches up loses and repeats no event."""
    ana = await core.join(ANA)
    for _ in range(5):
        async with without(core.listening.keeper):
            await core.say()
        core.hub.resubscribed(core.key.encode())
        core.hub.resubscribed(core.key.encode())
        await core.say()
    await ana.sees(11)
    assert ana.seqs == list(range(2, 12))


async def test_a_break_during_the_read_of_the_log_reads_again(core: GatewayCore) -> None:
    """When the subscription breaks after the log was requested, the log is read again for the events in between."""
    ana = await core.join(ANA)
    await core.shut(ana)
    for _ in range(2):
        await core.say()
    await core.gate.holds(2)
    core.gate.lose(1)
    core.gate.open()  # reads the log in this tick, before the next message is published
    core.gate.shut()
    missed = asyncio.create_task(core.say("missed"))
    await asyncio.sleep(0)  # the message is sent after the request for the log
    core.hub.resubscribed(core.key.encode())
    last = await missed
    await core.gate.holds(1)
    core.gate.lose(1)
    core.gate.open()
    await ana.sees(last)
    assert ana.seqs == [2, 3, 4]


async def test_an_empty_redis_ends_the_members(server: RedisServer) -> None:
    """A Redis that comes back empty ends every member, also when the link is back after the subscriber."""
    async with gateway_core(server.url, retry_seconds=0.02) as core:
        ana = await core.join(ANA)
        async with without(core.link.keeper):
            server.kill()
            server.forget()
            await eventually(lambda: not core.listening.is_up)
            await server.start()
            await asyncio.wait_for(core.listening.keeper.wait_up(), 10)
            await eventually(lambda: core.rooms()[0].sequencer._is_filling)
        assert await ana.ends() == close_codes.RESYNC


async def test_a_restart_of_redis_keeps_the_sockets(server: RedisServer) -> None:
    """Sockets stay while Redis restarts, and every event that Redis kept is delivered in order."""
    async with gateway_core(server.url) as core:
        ana = await core.join(ANA)
        await core.shut(ana)
        await core.say()
        await core.gate.holds(1)
        core.gate.lose(1)
        server.kill()
        await eventually(lambda: not core.listening.is_up and not core.link.is_up)
        core.gate.open()
        await server.start()
        await asyncio.wait_for(core.link.keeper.wait_up(), 10)
        last = await core.say()
        await ana.sees(last)
    assert (ana.seqs, ana.ending) == ([2, 3], None)
