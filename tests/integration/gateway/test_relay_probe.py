"""A gateway that can't hear finds out, whatever is wrong with Redis, says what, and hears everything afterwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from broker import keys
from broker.pubsub.relay_probe import Canary
from gateway.lifecycle import relay_probe as canary_module
from gateway.lifecycle.relay_probe import DEAF_AFTER, Hearing
from tests.gateway_core import House
from tests.gateway_core import house as any_house
from tests.proxy import proxy
from tests.redis_server import RedisServer, cut
from tests.session_state import ANA, BEN, eventually

PATIENT_SECONDS = 60.0  # so that only the canary can find out
SILENT = "Redis does not answer"
UNHEARD = "not heard here"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send canaries often."""
    monkeypatch.setattr(canary_module, "INTERVAL_SECONDS", 0.1)


def house(url: str, *, timeout_seconds: float = 5.0) -> contextlib.AbstractAsyncContextManager[House]:
    """A house with one connection to Redis, as a gateway has it."""
    return any_house(url, timeout_seconds=timeout_seconds, is_apart=False)


@contextlib.asynccontextmanager
async def hearing(home: House) -> AsyncIterator[Hearing]:
    """Send canaries meanwhile; the first has come back."""
    canary = Canary(home.scripts, home.subscriber, lease="gw-1")
    hearing = Hearing(canary, home.link)
    home.hub.listen(canary.channel, hearing.heard)
    assert hearing.problem is not None
    task = asyncio.create_task(hearing.run())
    await eventually(lambda: hearing.problem is None or task.done(), what="the first canary")
    yield hearing
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def goes_deaf(hearing: Hearing, why: str) -> None:
    """Return once it is deaf for this reason."""
    await eventually(lambda: why in (hearing.problem or ""), what=f"{why!r}, not {hearing.problem!r}")
    assert hearing.lost_total >= DEAF_AFTER


async def hears_again(hearing: Hearing) -> None:
    """Return once it hears."""
    await eventually(lambda: hearing.problem is None, what=f"hearing again: {hearing.problem}")


async def test_all_is_well(redis_url: str) -> None:
    """Canaries come back, and leave nothing behind but one key that goes away by itself."""
    async with house(redis_url) as home, hearing(home) as canaries:
        await eventually(lambda: canaries.sent_total > 3)
        assert canaries.lost_total == 0
        assert canaries.round_trips.count >= 1
        assert 0 < canaries.round_trips.total < 5 * canaries.round_trips.count
        assert 0 < await home.link.call("TTL", keys.canary("gw-1")) <= 60


async def test_silent_redis(server: RedisServer) -> None:
    """A Redis that is stopped makes a gateway deaf; once it goes on, it hears what was published meanwhile."""
    async with house(server.url, timeout_seconds=PATIENT_SECONDS) as home, hearing(home) as canaries:
        ana = await home.join(ANA)
        server.pause()
        await goes_deaf(canaries, SILENT)
        server.resume()
        await hears_again(canaries)
        await ana.sees(await home.say())


async def test_paused_writes(server: RedisServer) -> None:
    """A Redis that answers pings but lets every write wait makes a gateway deaf."""
    async with house(server.url, timeout_seconds=PATIENT_SECONDS) as home, hearing(home) as canaries:
        async with house(server.url) as other:
            await other.link.call("CLIENT", "PAUSE", 60_000, "WRITE")
            await goes_deaf(canaries, SILENT)
            await other.link.call("CLIENT", "UNPAUSE")
        await hears_again(canaries)


@pytest.mark.parametrize(
    ("refuse", "accept", "why"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "READONLY"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OOM"),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            "NOREPLICAS",
        ),
    ],
)
async def test_refused(server: RedisServer, refuse: tuple[str, ...], accept: tuple[str, ...], why: str) -> None:
    """A Redis that refuses writes makes a gateway deaf, and the reason is what it says."""
    async with house(server.url) as home, hearing(home) as canaries, house(server.url) as other:
        await other.link.call(*refuse)
        await goes_deaf(canaries, why)
        await other.link.call(*accept)
        await hears_again(canaries)


async def test_cut_connection(redis_url: str) -> None:
    """When the connection is cut, it is made anew, and what was published meanwhile is fetched."""
    async with house(redis_url) as home, hearing(home) as canaries:
        ana = await home.join(ANA)
        async with any_house(redis_url) as other:
            cut(redis_url, "pubsub")
            await ana.sees(await other.say())
        await hears_again(canaries)


async def test_blackholed_connection(redis_url: str) -> None:
    """A connection that brings nothing, without an end, makes a gateway deaf; dialled anew, it brings everything."""
    async with (
        proxy(redis_url) as between,
        house(redis_url) as other,
        house(between.url(redis_url), timeout_seconds=PATIENT_SECONDS) as home,
        hearing(home) as canaries,
    ):
        ana = await home.join(ANA)
        assert await between.blackhole(b"seance-link") == 1
        seqs = [await other.say() for _ in range(3)]
        await goes_deaf(canaries, SILENT)
        assert ana.seqs[-1:] < seqs[:1]
        before = home.link.keeper._wire
        await between.heal()
        await hears_again(canaries)
        assert home.link.keeper._wire is not before
        await ana.sees(seqs[-1])
        ben = await home.join(BEN)
        await ana.sees(ben.seqs[-1] if ben.seqs else seqs[-1] + 1)


async def test_the_connection_is_dialled_anew(redis_url: str) -> None:
    """With three canaries lost, the connection is not kept; later the pauses between dials grow."""
    async with house(redis_url) as home, hearing(home) as canaries:
        before = home.link.keeper._wire
        home.gate.shut()  # nothing that is published comes through
        await goes_deaf(canaries, UNHEARD)
        await eventually(lambda: home.link.keeper._wire not in (None, before))
        again = home.link.keeper._wire
        lost = canaries.lost_total
        await eventually(lambda: home.link.keeper._wire is not again)
        assert canaries.lost_total >= lost + DEAF_AFTER - 1
        home.gate.open()
        await hears_again(canaries)
