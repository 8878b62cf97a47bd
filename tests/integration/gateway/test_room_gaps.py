"""What a room does when events do not come as they should: twice, late, never, or while Redis is away."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.protocol import close_codes
from tests.gateway_core import INFO, GatewayCore, gateway_core, without
from tests.redis_server import RedisServer, redial
from tests.session_state import ANA, BEN, eventually


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with an open session."""
    async with gateway_core(redis_url) as core:
        yield core


@pytest.fixture
async def hasty(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core that asks Redis again soon."""
    async with gateway_core(redis_url, retry_seconds=0.01) as core:
        yield core


async def test_repeated_events_are_dropped(core: GatewayCore) -> None:
    """However often an event comes, it is delivered once."""
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
    """What did not come is fetched, and what came meanwhile waits its turn; everybody sees one order."""
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


async def test_what_the_log_lacks_is_announced(core: GatewayCore) -> None:
    """What can't be had here any more leaves no silent hole, at the start of the gap or in its middle."""
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


async def test_an_event_that_the_log_lacks_but_the_channel_brought(core: GatewayCore) -> None:
    """An event that was held back while the log was asked is delivered, and what is missing before it announced."""
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


async def test_a_gap_of_several_pages(core: GatewayCore) -> None:
    """A gap larger than what the log gives at once is filled page by page."""
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


async def test_a_gap_that_ends_with_a_page(core: GatewayCore) -> None:
    """A gap of exactly one page is filled, and nothing is announced."""
    ana = await core.join(ANA)
    await core.shut(ana)
    await asyncio.gather(*(core.say() for _ in range(512)))
    await core.gate.holds(512)
    core.gate.lose(511)
    core.gate.open()
    await ana.sees(513)
    await core.mark(ana)
    assert (ana.seqs, len(ana.types)) == (list(range(2, 514)), 512)


async def test_missed_while_the_subscriber_was_away(core: GatewayCore) -> None:
    """After a broken subscription everything that was published meanwhile is delivered, though nothing new comes."""
    ana = await core.join(ANA)
    async with without(core.listening.keeper):
        for _ in range(3):
            await core.say()
    await ana.sees(4)
    assert ana.seqs == [2, 3, 4]


async def test_nothing_was_missed(core: GatewayCore, redis_url: str) -> None:
    """A subscription that broke in a quiet moment changes nothing."""
    ana = await core.join(ANA)
    await redial(redis_url, core.listening.keeper, "pubsub")
    await core.say()
    await ana.sees(2)
    assert (ana.seqs, ana.ending) == ([2], None)


async def test_closed_while_the_subscriber_was_away(core: GatewayCore) -> None:
    """Whoever missed the end of the session is told from the log."""
    ana = await core.join(ANA)
    async with without(core.listening.keeper):
        await core.say()
        await core.sessions.close(INFO.id)
    assert await ana.ends() == close_codes.SESSION_CLOSED
    assert (ana.seqs, core.hub.room_count) == ([2, 3], 0)


async def test_removed_while_the_subscriber_was_away(core: GatewayCore) -> None:
    """Whoever was removed meanwhile ends where the log says so; the others go on."""
    ana, ben = await core.join(ANA), await core.join(BEN)
    await core.mark(ana, ben)
    async with without(core.listening.keeper):
        await core.say()
        await core.sessions.remove(INFO.id, ANA)
        await core.say()
    await ben.sees(5)
    assert (ana.ending, ana.seqs) == (close_codes.REMOVED, [2, 3])
    assert (ben.ending, ben.seqs) == (None, [3, 4, 5])


async def test_the_log_can_not_be_reached(hasty: GatewayCore) -> None:
    """When the log stays out of reach, everybody is sent to come back and resume."""
    ana = await hasty.join(ANA)
    async with without(hasty.link.keeper):
        hasty.gate.heard(hasty.key.encode(), b"9 e -\n{}")
        assert await ana.ends() == close_codes.RESYNC
    assert (ana.events, hasty.hub.room_count) == ([], 0)


async def test_the_log_is_asked_as_often_each_time(hasty: GatewayCore) -> None:
    """A room that gave up once, kept by a join under way, tries as often again as before."""
    ana = await hasty.join(ANA)
    room = await hasty.enter()
    async with without(hasty.link.keeper):
        hasty.gate.heard(hasty.key.encode(), b"9 e -\n{}")
        assert await ana.ends() == close_codes.RESYNC
    ben = await hasty.join(BEN)
    await hasty.mark(ben)
    async with without(hasty.link.keeper):
        hasty.gate.heard(hasty.key.encode(), b"9 e -\n{}")
        await eventually(lambda: 1 < room.sequencer._attempts < 5)
        assert ben.ending is None
    await hasty.left(room)


async def test_the_log_is_back_in_time(hasty: GatewayCore) -> None:
    """A short outage costs nobody the connection: the log is asked again, and the gap filled."""
    ana = await hasty.join(ANA)
    await hasty.shut(ana)
    for _ in range(3):
        await hasty.say()
    await hasty.gate.holds(3)
    hasty.gate.lose(2)
    async with without(hasty.link.keeper):
        hasty.gate.open()
        await eventually(lambda: hasty.hub.rooms()[0].sequencer._attempts > 2)
    await ana.sees(4)
    assert (ana.seqs, hasty.hub.rooms()[0].sequencer._attempts) == ([2, 3, 4], 0)


async def test_another_epoch(core: GatewayCore, redis_url: str) -> None:
    """When the hot state was made anew meanwhile, everybody is sent to come back: the numbers start elsewhere."""
    ana = await core.join(ANA)
    await core.link.call("DEL", core.key)
    await core.sessions.open(INFO, max_seq=1)
    await redial(redis_url, core.listening.keeper, "pubsub")
    assert await ana.ends() == close_codes.RESYNC
    assert core.hub.room_count == 0


async def test_no_hot_state(core: GatewayCore, redis_url: str) -> None:
    """When Redis does not know the session any more, everybody is sent to come back."""
    ana = await core.join(ANA)
    await core.link.call("FLUSHALL")
    await redial(redis_url, core.listening.keeper, "pubsub")
    assert await ana.ends() == close_codes.RESYNC


async def test_a_second_break_while_catching_up(core: GatewayCore) -> None:
    """A connection that breaks again and again while the room catches up loses and repeats nothing."""
    ana = await core.join(ANA)
    for _ in range(5):
        async with without(core.listening.keeper):
            await core.say()
        core.hub.resubscribed(core.key.encode())
        core.hub.resubscribed(core.key.encode())
        await core.say()
    await ana.sees(11)
    assert ana.seqs == list(range(2, 12))


async def test_a_break_while_the_log_is_asked(core: GatewayCore) -> None:
    """When the subscription broke after the log was asked, it is asked again: what came in between is not forgotten."""
    ana = await core.join(ANA)
    await core.shut(ana)
    for _ in range(2):
        await core.say()
    await core.gate.holds(2)
    core.gate.lose(1)
    core.gate.open()  # asks the log in this tick, and so before the next message is published
    core.gate.shut()
    missed = asyncio.create_task(core.say("missed"))
    await asyncio.sleep(0)  # it is sent after the question
    core.hub.resubscribed(core.key.encode())
    last = await missed
    await core.gate.holds(1)
    core.gate.lose(1)
    core.gate.open()
    await ana.sees(last)
    assert ana.seqs == [2, 3, 4]


async def test_redis_lost_everything(server: RedisServer) -> None:
    """A server that comes back empty sends everybody to come back, even if the link is back after the subscriber."""
    async with gateway_core(server.url, retry_seconds=0.02) as core:
        ana = await core.join(ANA)
        async with without(core.link.keeper):
            server.kill()
            server.forget()
            await eventually(lambda: not core.listening.is_up)
            await server.start()
            await asyncio.wait_for(core.listening.keeper.wait_up(), 10)
            await eventually(lambda: core.hub.rooms()[0].sequencer._is_filling)
        assert await ana.ends() == close_codes.RESYNC


async def test_redis_was_away(server: RedisServer) -> None:
    """Sockets stay while Redis restarts, and everything that it kept is delivered in order."""
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
