"""The relay probe: a gateway to which no events arrive becomes unready with a reason, and recovers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from broker.pubsub.relay_probe import ProbeChannel
from gateway.lifecycle.relay_probe import UNREADY_AFTER, RelayProbe
from tests.gateway_core import KEYS, GatewayCore
from tests.gateway_core import gateway_core as any_core
from tests.proxy import proxy
from tests.redis_server import RedisServer, cut, follow
from tests.session_state import ANA, BEN, eventually

PATIENT_SECONDS = 60.0  # so long that only the relay probe notices the failure
INTERVAL_SECONDS = 0.1
SILENT = "Redis does not answer"
UNHEARD = "not heard here"


def gateway_core(url: str, *, timeout_seconds: float = 5.0) -> contextlib.AbstractAsyncContextManager[GatewayCore]:
    """A gateway core with one connection to Redis, as a gateway has it."""
    return any_core(url, timeout_seconds=timeout_seconds, is_apart=False)


@contextlib.asynccontextmanager
async def relay_probe(core: GatewayCore) -> AsyncIterator[RelayProbe]:
    """Run a relay probe; its first probe has come back."""
    channel = ProbeChannel(core.scripts, core.subscriber, key=KEYS.canary("gw-1"))
    relay_probe = RelayProbe(channel, core.link, interval_seconds=INTERVAL_SECONDS)
    core.hub.listen(channel.channel, relay_probe.heard)
    core.link.on_up = (*core.link.on_up, relay_probe.linked)
    assert relay_probe.problem is not None
    task = asyncio.create_task(relay_probe.run())
    await eventually(lambda: task.done() or relay_probe.problem is None, what="the first probe")
    yield relay_probe
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def becomes_unready(relay_probe: RelayProbe, why: str) -> None:
    """Wait until the probe reports a problem with this text."""
    await eventually(lambda: why in (relay_probe.problem or ""), what=f"{why!r}, not {relay_probe.problem!r}")
    assert relay_probe.lost_total >= UNREADY_AFTER


async def becomes_ready(relay_probe: RelayProbe) -> None:
    """Wait until the probe reports no problem."""
    await eventually(lambda: relay_probe.problem is None, what=f"probes heard again: {relay_probe.problem}")


async def test_probes_come_back_from_a_healthy_redis(redis_url: str) -> None:
    """Probes come back, and leave only one key, which expires."""
    async with gateway_core(redis_url) as core, relay_probe(core) as probe:
        await eventually(lambda: probe.sent_total > 3)
        assert probe.lost_total == 0
        assert probe.round_trips.count >= 1
        assert 0 < probe.round_trips.total < 5 * probe.round_trips.count
        assert 0 < await core.link.call("TTL", KEYS.canary("gw-1")) <= 60


async def test_a_stopped_redis_makes_the_gateway_unready(server: RedisServer) -> None:
    """A stopped Redis makes the gateway unready; when Redis goes on, the missed events are delivered."""
    async with gateway_core(server.url, timeout_seconds=PATIENT_SECONDS) as core, relay_probe(core) as probe:
        ana = await core.join(ANA)
        server.pause()
        await becomes_unready(probe, SILENT)
        server.resume()
        await becomes_ready(probe)
        await ana.sees(await core.say())


async def test_a_redis_that_pauses_writes_makes_the_gateway_unready(server: RedisServer) -> None:
    """A Redis that answers pings but delays every write makes the gateway unready."""
    async with gateway_core(server.url, timeout_seconds=PATIENT_SECONDS) as core, relay_probe(core) as probe:
        async with gateway_core(server.url) as other:
            await other.link.call("CLIENT", "PAUSE", 60_000, "WRITE")
            await becomes_unready(probe, SILENT)
            await other.link.call("CLIENT", "UNPAUSE")
        await becomes_ready(probe)


@pytest.mark.parametrize(
    ("refuse", "accept", "why"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OOM"),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            "NOREPLICAS",
        ),
    ],
)
async def test_a_redis_that_refuses_writes_makes_the_gateway_unready(
    server: RedisServer, refuse: tuple[str, ...], accept: tuple[str, ...], why: str
) -> None:
    """A Redis that refuses writes makes the gateway unready, with the text of the refusal as the reason."""
    async with gateway_core(server.url) as core, relay_probe(core) as probe:
        with server.client() as redis:
            redis.execute_command(*refuse)
            await becomes_unready(probe, why)
            redis.execute_command(*accept)
        await becomes_ready(probe)


async def test_a_demoted_redis_makes_the_gateway_unready(server: RedisServer) -> None:
    """A Redis that became a replica makes the gateway unready until a primary is reached."""
    async with gateway_core(server.url) as core, relay_probe(core) as probe:
        await becomes_ready(probe)
        follow(server.url, "redis://127.0.0.1:1/0")
        await eventually(lambda: probe.problem == "Redis can't be reached", what="an unready gateway")
        follow(server.url, None)
        await becomes_ready(probe)


async def test_a_cut_connection_is_made_again(redis_url: str) -> None:
    """A cut connection is made again, and the missed events are fetched."""
    async with gateway_core(redis_url) as core, relay_probe(core) as probe:
        ana = await core.join(ANA)
        async with any_core(redis_url) as other:
            cut(redis_url, "pubsub")
            await ana.sees(await other.say())
        await becomes_ready(probe)


async def test_a_blackholed_connection_is_replaced(redis_url: str) -> None:
    """A connection that brings no bytes makes the gateway unready; the new connection delivers every event."""
    async with (
        proxy(redis_url) as between,
        gateway_core(redis_url) as other,
        gateway_core(between.url(redis_url), timeout_seconds=PATIENT_SECONDS) as core,
        relay_probe(core) as probe,
    ):
        ana = await core.join(ANA)
        assert await between.blackhole(b"seance-link") == 1
        seqs = [await other.say() for _ in range(3)]
        await becomes_unready(probe, SILENT)
        assert ana.seqs[-1:] < seqs[:1]
        before = core.link.keeper._wire
        await between.heal()
        await becomes_ready(probe)
        assert core.link.keeper._wire is not before
        await ana.sees(seqs[-1])
        ben = await core.join(BEN)
        await ana.sees(ben.seqs[-1] if ben.seqs else seqs[-1] + 1)


async def test_lost_probes_redial_at_growing_intervals(redis_url: str) -> None:
    """After three lost probes the link reconnects; the intervals to the next reconnects grow."""
    async with gateway_core(redis_url) as core, relay_probe(core) as probe:
        before = core.link.keeper._wire
        core.gate.shut()  # no published event reaches the hub
        await becomes_unready(probe, UNHEARD)
        await eventually(lambda: core.link.keeper._wire not in (None, before))
        again = core.link.keeper._wire
        lost = probe.lost_total
        await eventually(lambda: core.link.keeper._wire is not again)
        assert probe.lost_total >= lost + UNREADY_AFTER - 1
        core.gate.open()
        await becomes_ready(probe)
