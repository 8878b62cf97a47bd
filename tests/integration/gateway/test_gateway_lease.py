"""A gateway's beat: its leases, the seats that nobody holds, and departures that Redis missed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from structlog.testing import capture_logs

from broker import keys
from broker.events import User
from broker.sessions import gateway_leases as leases_module
from broker.sessions.gateway_leases import GatewayLeases
from gateway.lifecycle import gateway_lease as beat_module
from gateway.lifecycle.gateway_lease import GatewayLease
from gateway.protocol import close_codes
from tests.gateway_core import INFO, PARTITIONS, GatewayCore, gateway_core, without
from tests.session_state import ANA, BEN, OTHER_SESSION, SESSION, eventually, now_ms, take_lease

PARTITION = keys.partition_of(SESSION, PARTITIONS)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beat often."""
    monkeypatch.setattr(beat_module, "BEAT_SECONDS", 0.03)
    monkeypatch.setattr(beat_module, "REAP_SECONDS", 0.01)


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway's house with an open session."""
    async with gateway_core(redis_url) as core:
        yield core


def beat_of(core: GatewayCore, lease: str = "gw-1") -> GatewayLease:
    """The house's beat."""
    leases = GatewayLeases(core.link, core.scripts, partitions=PARTITIONS, lease=lease)
    return GatewayLease(core.link, leases, core.hub, core.leave_queue, partitions=PARTITIONS)


@contextlib.asynccontextmanager
async def beating(beat: GatewayLease) -> AsyncIterator[None]:
    """Beat meanwhile."""
    task = asyncio.create_task(beat.run())
    await eventually(lambda: beat.has_lease or task.done())
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def expiry(core: GatewayCore, lease: str = "gw-1") -> int | None:
    """When the lease ends in the session's partition."""
    score = await core.link.call("ZSCORE", keys.gateways(PARTITION), lease)
    return None if score is None else int(score)


async def becomes_later(core: GatewayCore, than: int, lease: str = "gw-1") -> None:
    """Return once the lease ends later."""
    async with asyncio.timeout(10):
        while (await expiry(core, lease) or 0) <= than:
            pass  # ask again


async def test_the_lease_is_prolonged(core: GatewayCore) -> None:
    """While the gateway lives its lease is taken, and prolonged again and again."""
    async with beating(beat_of(core)):
        first = await expiry(core)
        assert first is not None
        await becomes_later(core, first)


async def test_the_dead_are_reaped(core: GatewayCore, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a gateway dies another frees its users' seats, each announced once; its own users keep theirs."""
    monkeypatch.setattr(leases_module, "LEASE_MS", 1000)
    monkeypatch.setattr(beat_module, "LEASE_MS", 100)
    async with gateway_core(redis_url) as dying, beating(beat_of(core, "gw-1")):
        async with beating(beat_of(dying, "gw-2")):
            ana = await core.join(ANA)
            await becomes_later(core, 0, "gw-2")
            await dying.sessions.join(SESSION, User(BEN, "Ben"), gateway="gw-2", connection="c-1")
            await ana.sees(2)
        await ana.sees(3)
        assert (ana.types[-1], ana.events[-1]["data"]["reason"]) == ("user_left", "lost")
        assert ana.events[-1]["data"]["user"]["id"] == BEN
        assert await expiry(core, "gw-2") is None
    assert [user.id for user in await core.sessions.users(SESSION)] == [ANA]
    assert ana.ending is None


async def test_a_lost_lease(core: GatewayCore) -> None:
    """Users whose seats others may have freed are sent to come back; those of other partitions stay."""
    other_info = msgspec.structs.replace(INFO, id=OTHER_SESSION)
    assert keys.partition_of(OTHER_SESSION, PARTITIONS) != PARTITION
    await core.sessions.open(other_info)
    with capture_logs() as logs:
        async with beating(beat_of(core)):
            ana = await core.join(ANA)
            core.info = other_info
            ben = await core.join(BEN)
            await core.link.call("ZREM", keys.gateways(PARTITION), "gw-1")
            assert await ana.ends() == close_codes.RESYNC
            assert ben.ending is None
            await becomes_later(core, now_ms())
    assert [line["partitions"] for line in logs if line["event"] == "lease.lost"] == [[PARTITION]]


async def test_departures_are_told_again(core: GatewayCore) -> None:
    """A seat whose end Redis missed is given up at a later beat."""
    await core.seat(ANA, connection="c-1")
    async with beating(beat_of(core)):
        async with without(core.link.keeper):
            core.leave_queue.leave(SESSION, User(ANA, "Ana"), "c-1", is_lost=False)
            await core.leave_queue.settle()
        await eventually(lambda: not core.leave_queue._failed)
        await core.leave_queue.settle()
    assert await core.sessions.users(SESSION) == []


async def test_it_begins_when_redis_is_there(core: GatewayCore) -> None:
    """A beat that starts without Redis takes its lease as soon as there is one."""
    beat = beat_of(core)
    async with without(core.link.keeper):
        task = asyncio.create_task(beat.run())
        await asyncio.sleep(0)  # it waits now
        assert not beat.has_lease
    await eventually(lambda: beat.has_lease)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nobody_is_reaped_right_after_an_outage(core: GatewayCore, monkeypatch: pytest.MonkeyPatch) -> None:
    """All leases have passed when Redis is back: every gateway gets the time to renew its own first."""
    monkeypatch.setattr(beat_module, "LEASE_MS", 300)
    loop = asyncio.get_running_loop()
    async with beating(beat_of(core)):
        await take_lease(core.link, SESSION, PARTITIONS, "gw-2")
        await core.sessions.join(SESSION, User(BEN, "Ben"), gateway="gw-2", connection="c-1")
        ana = await core.join(ANA)
        async with without(core.link.keeper):
            await eventually(lambda: not core.link.is_up)
        back_at = loop.time()
        await core.link.call("ZADD", keys.gateways(PARTITION), now_ms() - 1, "gw-2")
        await eventually(lambda: "user_left" in ana.types)
        assert loop.time() - back_at > 0.25


async def test_redis_refuses(core: GatewayCore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat that fails is told, and the next ones come; nobody is reaped before all could renew again."""
    monkeypatch.setattr(beat_module, "LEASE_MS", 200)
    with capture_logs() as logs:
        async with beating(beat_of(core)):
            await core.link.call("DEL", keys.gateways(PARTITION))
            await core.link.call("SET", keys.gateways(PARTITION), "no zset")
            await eventually(lambda: [line for line in logs if line["event"] == "beat.missed"])
            await core.link.call("DEL", keys.gateways(PARTITION))
            await becomes_later(core, now_ms())
    assert {line["log_level"] for line in logs if line["event"] == "beat.missed"} == {"warning"}


async def test_given_up(core: GatewayCore) -> None:
    """A gateway that ends gives its leases up, so that others need not wait."""
    beat = beat_of(core)
    async with beating(beat):
        pass
    await beat.give_up()
    assert await expiry(core) == 0
