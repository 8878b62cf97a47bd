"""A gateway's leases, the seats that nobody holds, and leaves that Redis missed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from structlog.testing import capture_logs

from broker import keys
from broker.events import User
from broker.sessions.gateway_leases import LEASE_MS, GatewayLeases
from gateway.lifecycle.gateway_lease import GatewayLease
from gateway.protocol import close_codes
from tests.gateway_core import INFO, PARTITIONS, GatewayCore, gateway_core, without
from tests.session_state import ANA, BEN, OTHER_SESSION, SESSION, eventually, now_ms, take_lease

PARTITION = keys.partition_of(SESSION, PARTITIONS)


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with an open session."""
    async with gateway_core(redis_url) as core:
        yield core


def lease_of(
    core: GatewayCore, lease: str = "gw-1", *, lease_ms: int = LEASE_MS, reap_after_seconds: float | None = None
) -> GatewayLease:
    """The lease of the gateway core, renewed often."""
    leases = GatewayLeases(core.link, core.scripts, partitions=PARTITIONS, lease=lease, lease_ms=lease_ms)
    gateway_lease = GatewayLease(
        core.link,
        leases,
        core.hub,
        core.leave_queue,
        partitions=PARTITIONS,
        renew_seconds=0.03,
        reap_seconds=0.01,
        reap_after_seconds=reap_after_seconds,
    )
    core.link.on_up = (*core.link.on_up, gateway_lease.linked)
    return gateway_lease


@contextlib.asynccontextmanager
async def renewing(gateway_lease: GatewayLease) -> AsyncIterator[None]:
    """Renew and reap meanwhile."""
    task = asyncio.create_task(gateway_lease.run())
    await eventually(lambda: gateway_lease.has_lease or task.done())
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
    async with renewing(lease_of(core)):
        first = await expiry(core)
        assert first is not None
        await becomes_later(core, first)


async def test_the_dead_are_reaped(core: GatewayCore, redis_url: str) -> None:
    """When a gateway dies another frees its users' seats, each announced once; its own users keep theirs."""
    async with (
        gateway_core(redis_url) as dying,
        renewing(lease_of(core, "gw-1", lease_ms=1000, reap_after_seconds=0.1)),
    ):
        async with renewing(lease_of(dying, "gw-2", lease_ms=1000, reap_after_seconds=0.1)):
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
        async with renewing(lease_of(core)):
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
    async with renewing(lease_of(core)):
        async with without(core.link.keeper):
            core.leave_queue.leave(SESSION, User(ANA, "Ana"), "c-1", is_lost=False)
            await core.leave_queue.settle()
        await eventually(lambda: not core.leave_queue._failed)
        await core.leave_queue.settle()
    assert await core.sessions.users(SESSION) == []


async def test_it_begins_when_redis_is_there(core: GatewayCore) -> None:
    """A lease that starts without Redis takes its lease as soon as there is one."""
    gateway_lease = lease_of(core)
    async with without(core.link.keeper):
        task = asyncio.create_task(gateway_lease.run())
        await asyncio.sleep(0)  # it waits now
        assert not gateway_lease.has_lease
    await eventually(lambda: gateway_lease.has_lease)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nobody_is_reaped_right_after_an_outage(core: GatewayCore) -> None:
    """All leases have passed when Redis is back: every gateway gets the time to renew its own first."""
    loop = asyncio.get_running_loop()
    async with renewing(lease_of(core, reap_after_seconds=0.3)):
        await take_lease(core.link, SESSION, PARTITIONS, "gw-2")
        await core.sessions.join(SESSION, User(BEN, "Ben"), gateway="gw-2", connection="c-1")
        ana = await core.join(ANA)
        async with without(core.link.keeper):
            await eventually(lambda: not core.link.is_up)
        back_at = loop.time()
        await core.link.call("ZADD", keys.gateways(PARTITION), now_ms() - 1, "gw-2")
        await eventually(lambda: "user_left" in ana.types)
        # The loop that counted the time to renew is the one that is asked here.
        assert loop.time() - back_at > 0.25


async def test_redis_refuses(core: GatewayCore) -> None:
    """A renewal that fails is told, and the next ones come; nobody is reaped before all could renew again."""
    with capture_logs() as logs:
        async with renewing(lease_of(core)):
            await core.link.call("DEL", keys.gateways(PARTITION))
            await core.link.call("SET", keys.gateways(PARTITION), "no zset")
            await eventually(lambda: [line for line in logs if line["event"] == "lease.not_renewed"])
            await core.link.call("DEL", keys.gateways(PARTITION))
            await becomes_later(core, now_ms())
    assert {line["log_level"] for line in logs if line["event"] == "lease.not_renewed"} == {"warning"}


async def test_given_up(core: GatewayCore) -> None:
    """A gateway that ends gives its leases up, so that others need not wait."""
    gateway_lease = lease_of(core)
    async with renewing(gateway_lease):
        pass
    await gateway_lease.give_up()
    assert await expiry(core) == 0
