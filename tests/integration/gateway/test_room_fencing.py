"""What a room does when Redis does not hold what was handed out: the session goes on in another epoch."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from gateway.protocol import close_codes
from tests.gateway_core import INFO, House, house, without
from tests.redis_server import redial
from tests.session_state import ANA, BEN


@pytest.fixture
async def home(redis_url: str) -> AsyncIterator[House]:
    """A gateway's house with an open session."""
    async with house(redis_url) as home:
        yield home


async def test_redis_went_back(home: House) -> None:
    """An older state that comes with a new connection is fenced off: another epoch, seqs above all that was seen."""
    ana = await home.join(ANA)
    earlier = await home.snapshot()
    epoch, _ = await home.position()
    await ana.sees(await home.say("lost"))
    async with without(home.listening.keeper):
        await home.go_back(earlier)
    assert await ana.ends() == close_codes.RESYNC
    new_epoch, seq = await home.position()
    assert (new_epoch != epoch, seq) == (True, 2_000_000)
    again = await home.join(ANA)
    await again.sees(await home.say())
    assert again.seqs == [2_000_001]


@pytest.mark.parametrize("more", [0, 1])
async def test_redis_went_back_and_has_come_as_far_again(home: House, more: int) -> None:
    """Other events under the numbers that were handed out are noticed, though Redis has come as far, or further."""
    ana = await home.join(ANA)
    earlier = await home.snapshot()
    await ana.sees(await home.say("lost"))
    async with without(home.listening.keeper):
        await home.go_back(earlier)
        for _ in range(1 + more):
            await home.say("instead")
    assert await ana.ends() == close_codes.RESYNC
    assert "instead" not in str(ana.events)
    assert (await home.position())[1] == 2_000_000


async def test_redis_went_back_under_a_link_that_holds(home: House) -> None:
    """A number that is given a second time is not taken for a repetition, even if no connection broke."""
    ana = await home.join(ANA)
    earlier = await home.snapshot()
    for _ in range(3):
        await ana.sees(await home.say("lost"))
    await home.go_back(earlier)
    assert await home.say("instead") == 2
    assert await ana.ends() == close_codes.RESYNC
    assert (await home.position())[1] == 2_000_000


async def test_an_older_epoch(home: House) -> None:
    """A state from before the last epoch is fenced off like any other that is behind."""
    earlier = await home.snapshot()
    await home.link.call("DEL", home.key)
    await home.sessions.open(INFO, max_seq=0)
    ana = await home.join(ANA)
    async with without(home.listening.keeper):
        await home.go_back(earlier)
    assert await ana.ends() == close_codes.RESYNC
    assert (await home.position())[1] == 4_000_000


async def test_another_epoch_at_a_gap(home: House) -> None:
    """The first event of an epoch that somebody else began is delivered to nobody who knows the old one."""
    ana = await home.join(ANA)
    epoch, _ = await home.position()
    assert await home.sessions.send_fence(INFO.id, epoch=epoch, seen=5) == 1
    assert await home.say("after") == 2_000_001
    assert await ana.ends() == close_codes.RESYNC
    assert (ana.seqs, ana.types) == ([], [])


async def test_two_gateways_notice(home: House, redis_url: str) -> None:
    """However many notice at once, there is one new epoch, and nobody who came back in it is sent away again."""
    async with house(redis_url) as elsewhere:
        ana, ben = await home.join(ANA), await elsewhere.join(BEN)
        earlier = await home.snapshot()
        last = await home.say("lost")
        await asyncio.gather(ana.sees(last), ben.sees(last))
        with capture_logs() as lines:
            async with without(home.listening.keeper), without(elsewhere.listening.keeper):
                await home.go_back(earlier)
            assert (await ana.ends(), await ben.ends()) == (close_codes.RESYNC, close_codes.RESYNC)
        assert [line["seen"] for line in lines if line["event"] == "session.fenced"] == [last]
        ana, ben = await home.join(ANA), await elsewhere.join(BEN)
        last = await home.say()
        await asyncio.gather(ana.sees(last), ben.sees(last))
        assert (last, ana.ending, ben.ending) == (2_000_001, None, None)


async def test_nothing_is_lost(home: House, redis_url: str) -> None:
    """Redis that holds everything is left alone, however often the connection breaks."""
    ana = await home.join(ANA)
    before = await home.position()
    for _ in range(3):
        await ana.sees(await home.say())
        await redial(redis_url, home.listening.keeper, "pubsub")
        await home.mark(ana)
    assert (ana.ending, await home.position()) == (None, (before[0], 4))
