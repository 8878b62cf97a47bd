"""Rooms whose Redis lost events that were handed out: the session is fenced into a new epoch."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from gateway.protocol import close_codes
from gateway.rooms.effects import CommitOutcome
from tests.gateway_core import INFO, KEYS, GatewayCore, gateway_core, without
from tests.redis_server import redial
from tests.session_state import ANA, BEN, eventually


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with an open session."""
    async with gateway_core(redis_url) as core:
        yield core


async def test_an_older_state_on_a_new_connection_is_fenced(core: GatewayCore) -> None:
    """An older state behind a new connection is fenced: a new epoch, and seqs above all seen ones."""
    ana = await core.join(ANA)
    earlier = await core.snapshot()
    epoch, _ = await core.position()
    await ana.sees(await core.say("lost"))
    async with without(core.listening.keeper):
        await core.go_back(earlier)
    assert await ana.ends() == close_codes.RESYNC
    new_epoch, seq = await core.position()
    assert (new_epoch != epoch, seq) == (True, 2_000_000)
    again = await core.join(ANA)
    await again.sees(await core.say())
    assert again.seqs == [2_000_001]


@pytest.mark.parametrize("more", [0, 1])
async def test_other_events_under_known_seqs_are_fenced(core: GatewayCore, more: int) -> None:
    """Other events under seqs that were handed out are noticed, also when Redis has reached the same seq or more."""
    ana = await core.join(ANA)
    earlier = await core.snapshot()
    await ana.sees(await core.say("lost"))
    async with without(core.listening.keeper):
        await core.go_back(earlier)
        for _ in range(1 + more):
            await core.say("instead")
    assert await ana.ends() == close_codes.RESYNC
    assert "instead" not in str(ana.events)
    assert (await core.position())[1] == 2_000_000


async def test_a_seq_given_twice_is_fenced_without_a_new_connection(core: GatewayCore) -> None:
    """A seq that is given twice is not taken for a repeated event, also when no connection broke."""
    ana = await core.join(ANA)
    earlier = await core.snapshot()
    for _ in range(3):
        await ana.sees(await core.say("lost"))
    await core.go_back(earlier)
    assert await core.say("instead") == 2
    assert await ana.ends() == close_codes.RESYNC
    assert (await core.position())[1] == 2_000_000


async def test_a_state_of_an_older_epoch_is_fenced(core: GatewayCore) -> None:
    """A state from before the last epoch is fenced like any other older state."""
    earlier = await core.snapshot()
    await core.link.call("DEL", core.key)
    await core.sessions.open(INFO, max_seq=0)
    ana = await core.join(ANA)
    async with without(core.listening.keeper):
        await core.go_back(earlier)
    assert await ana.ends() == close_codes.RESYNC
    assert (await core.position())[1] == 4_000_000


async def test_events_of_a_new_epoch_are_not_delivered_to_old_members(core: GatewayCore) -> None:
    """The first event of another epoch is not delivered to members of the old epoch."""
    ana = await core.join(ANA)
    epoch, _ = await core.position()
    assert await core.sessions.fence(INFO.id, epoch=epoch, seen=5)
    assert await core.say("after") == 2_000_001
    assert await ana.ends() == close_codes.RESYNC
    assert (ana.seqs, ana.types) == ([], [])


async def test_two_gateways_make_one_new_epoch(core: GatewayCore, redis_url: str) -> None:
    """When several gateways notice, there is one new epoch, and members of the new epoch are not ended again."""
    async with gateway_core(redis_url) as elsewhere:
        ana, ben = await core.join(ANA), await elsewhere.join(BEN)
        earlier = await core.snapshot()
        last = await core.say("lost")
        await asyncio.gather(ana.sees(last), ben.sees(last))
        with capture_logs() as lines:
            async with without(core.listening.keeper), without(elsewhere.listening.keeper):
                await core.go_back(earlier)
            assert (await ana.ends(), await ben.ends()) == (close_codes.RESYNC, close_codes.RESYNC)
        assert [line["seen"] for line in lines if line["event"] == "session.fenced"] == [last]
        ana, ben = await core.join(ANA), await elsewhere.join(BEN)
        last = await core.say()
        await asyncio.gather(ana.sees(last), ben.sees(last))
        assert (last, ana.ending, ben.ending) == (2_000_001, None, None)


async def test_a_redis_that_holds_everything_is_not_fenced(core: GatewayCore, redis_url: str) -> None:
    """A Redis that holds everything is not fenced, however often the connection breaks."""
    ana = await core.join(ANA)
    before = await core.position()
    for _ in range(3):
        await ana.sees(await core.say())
        await redial(redis_url, core.listening.keeper, "pubsub")
        await core.mark(ana)
    assert (ana.ending, await core.position()) == (None, (before[0], 4))


async def test_a_refusal_whose_news_was_lost_is_no_commit(core: GatewayCore) -> None:
    """When the news of a refusal and of the commit come while the subscription is broken, both are told as they are."""
    ana = await core.join(ANA)
    refused, stored = await core.say(), await core.say()
    await ana.sees(stored)
    waiting = [asyncio.create_task(core.driver.commit_outcome(ana.room, seq)) for seq in (refused, stored)]
    async with without(core.listening.keeper):
        mark = KEYS.refused(KEYS.partition_of(INFO.id), INFO.id, refused)
        await core.link.call("SET", mark, 1)
        await core.link.call("HSET", core.key, "persisted", stored)
    assert await asyncio.gather(*waiting) == [CommitOutcome.REFUSED, CommitOutcome.COMMITTED]
    assert ana.ending is None


async def test_a_message_that_redis_lost_is_no_commit(core: GatewayCore) -> None:
    """When another message has the seq, and is committed, nobody is told that the lost message is committed."""
    ana = await core.join(ANA)
    earlier = await core.snapshot()
    lost = await core.say("lost")
    await ana.sees(lost)
    waiting = asyncio.create_task(core.driver.commit_outcome(ana.room, lost))
    async with without(core.listening.keeper):
        await core.go_back(earlier)
        assert await core.say("instead") == lost
        await core.link.call("HSET", core.key, "persisted", lost)
    assert await waiting == CommitOutcome.UNKNOWN
    assert await ana.ends() == close_codes.RESYNC


async def test_the_end_of_the_log_that_is_lost_is_announced(core: GatewayCore) -> None:
    """When Redis has given seqs whose events are in no log, members are told, though no event comes after them."""
    ana = await core.join(ANA)
    async with without(core.listening.keeper):
        for _ in range(3):
            await core.say()
        await core.link.call("DEL", core.log_key)
    await eventually(lambda: "gap" in ana.types, what="a gap")
    [gap] = [event["data"] for event in ana.events if event["type"] == "gap"]
    assert gap == {"from": 2, "to": 4}
    await ana.sees(await core.say())
    assert ana.seqs == [5]
