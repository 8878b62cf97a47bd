"""The gateway lease: renewals, reaping of expired leases, and leaves that are repeated."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from structlog.testing import capture_logs

from broker.events import User
from broker.sessions.gateway_leases import LEASE_MS, GatewayLeases
from gateway.lifecycle.gateway_lease import GatewayLease
from gateway.protocol import close_codes
from tests.gateway_core import INFO, KEYS, GatewayCore, gateway_core, without
from tests.session_state import ANA, BEN, OTHER_SESSION, SESSION, eventually, grant, now_ms, take_lease

PARTITION = KEYS.partition_of(SESSION)


@pytest.fixture
async def core(redis_url: str) -> AsyncIterator[GatewayCore]:
    """A gateway core with an open session."""
    async with gateway_core(redis_url) as core:
        yield core


def lease_of(
    core: GatewayCore, lease: str = "gw-1", *, lease_ms: int = LEASE_MS, reap_after_seconds: float | None = None
) -> GatewayLease:
    """The lease of the gateway core, with short intervals."""
    leases = GatewayLeases(core.link, core.scripts, keys=KEYS, name=lease, lease_ms=lease_ms)
    gateway_lease = GatewayLease(
        core.link,
        leases,
        core.hub,
        core.leave_queue,
        keys=KEYS,
        renew_seconds=0.03,
        reap_seconds=0.01,
        reap_after_seconds=reap_after_seconds,
    )
    core.link.on_up = (*core.link.on_up, gateway_lease.linked)
    return gateway_lease


@contextlib.asynccontextmanager
async def renewing(gateway_lease: GatewayLease) -> AsyncIterator[None]:
    """Run the lease's task."""
    task = asyncio.create_task(gateway_lease.run())
    await eventually(lambda: gateway_lease.has_lease or task.done())
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def expiry(core: GatewayCore, lease: str = "gw-1") -> int | None:
    """When the lease expires in the session's partition, in milliseconds."""
    score = await core.link.call("ZSCORE", KEYS.gateways(PARTITION), lease)
    return None if score is None else int(score)


async def becomes_later(core: GatewayCore, than: int, lease: str = "gw-1") -> None:
    """Wait until the lease expires later."""
    async with asyncio.timeout(10):
        while (await expiry(core, lease) or 0) <= than:
            pass  # ask again


async def is_condemned(core: GatewayCore, lease: str) -> bool:
    """Whether the lease is gone in the session's partition."""
    return await expiry(core, lease) is None


async def has_a_lease(core: GatewayCore) -> None:
    """Wait until some lease is good in the session's partition."""
    await eventually(lambda: core.link.call("ZCOUNT", KEYS.gateways(PARTITION), now_ms(), "+inf"), what="a lease")


async def test_the_lease_is_renewed_while_the_gateway_lives(core: GatewayCore) -> None:
    """A running gateway takes its lease and renews it repeatedly."""
    async with renewing(lease_of(core)):
        first = await expiry(core)
        assert first is not None
        await becomes_later(core, first)


async def test_seats_of_a_dead_gateway_are_reaped_once(core: GatewayCore, redis_url: str) -> None:
    """When a gateway dies another one frees its users' seats, announces each once, and keeps its own users' seats."""
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


async def test_a_lost_lease_ends_the_members_of_its_partitions(core: GatewayCore) -> None:
    """Members whose seats another gateway may have freed are ended; members of other partitions stay."""
    other_info = msgspec.structs.replace(INFO, id=OTHER_SESSION)
    assert KEYS.partition_of(OTHER_SESSION) != PARTITION
    await core.sessions.open(other_info)
    with capture_logs() as logs:
        async with renewing(lease_of(core)):
            ana = await core.join(ANA)
            core.info = other_info
            ben = await core.join(BEN)
            await core.link.call("ZREM", KEYS.gateways(PARTITION), "gw-1")
            assert await ana.ends() == close_codes.RESYNC
            assert ben.ending is None
            await has_a_lease(core)
    assert [line["partitions"] for line in logs if line["event"] == "lease.lost"] == [[PARTITION]]


async def test_a_failed_leave_is_repeated_after_a_renewal(core: GatewayCore) -> None:
    """A leave that Redis did not receive is repeated after a later renewal."""
    await core.seat(ANA, connection="c-1")
    async with renewing(lease_of(core)):
        async with without(core.link.keeper):
            core.leave_queue.leave(SESSION, User(ANA, "Ana"), "c-1", is_lost=False)
            await core.leave_queue.settle()
        await eventually(lambda: not core.leave_queue._failed)
        await core.leave_queue.settle()
    assert await core.sessions.users(SESSION) == []


async def test_the_lease_is_taken_once_redis_is_up(core: GatewayCore) -> None:
    """A gateway that starts without Redis takes its lease once Redis is up."""
    gateway_lease = lease_of(core)
    async with without(core.link.keeper):
        task = asyncio.create_task(gateway_lease.run())
        await asyncio.sleep(0)  # let the task reach its wait
        assert not gateway_lease.has_lease
    await eventually(lambda: gateway_lease.has_lease)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_seat_is_reaped_right_after_an_outage(core: GatewayCore) -> None:
    """After an outage all leases have expired: every gateway gets time to renew before seats are reaped."""
    loop = asyncio.get_running_loop()
    async with renewing(lease_of(core, reap_after_seconds=0.3)):
        await take_lease(core.link, SESSION, KEYS, "gw-2")
        await core.sessions.join(SESSION, User(BEN, "Ben"), gateway="gw-2", connection="c-1")
        ana = await core.join(ANA)
        async with without(core.link.keeper):
            await eventually(lambda: not core.link.is_up)
        back_at = loop.time()
        await core.link.call("ZADD", KEYS.gateways(PARTITION), now_ms() - 1, "gw-2")
        await eventually(lambda: "user_left" in ana.types)
        # The lease counts its time on this test's event loop.
        assert loop.time() - back_at > 0.25


async def test_no_seat_is_reaped_right_after_a_jump_of_redis_clock(core: GatewayCore) -> None:
    """After a jump this gateway, which renews first, gives the others the time of a lease to renew too."""
    loop = asyncio.get_running_loop()
    async with renewing(lease_of(core, reap_after_seconds=0.3)):
        await take_lease(core.link, SESSION, KEYS, "gw-2")
        await core.sessions.join(SESSION, User(BEN, "Ben"), gateway="gw-2", connection="c-1")
        ana = await core.join(ANA)
        await grant(core.link, PARTITION, "gw-3", expiry=1)
        await eventually(lambda: is_condemned(core, "gw-3"), what="the first reaping")
        jumped_at = loop.time()
        over = now_ms() - 1
        await core.link.call("ZADD", KEYS.gateways(PARTITION), over, "gw-1", over, "gw-2")
        await eventually(lambda: "user_left" in ana.types)
        assert loop.time() - jumped_at > 0.25


async def test_a_failed_renewal_is_logged_and_repeated(core: GatewayCore) -> None:
    """A failed renewal is logged and repeated; no seat is reaped before all gateways could renew again."""
    with capture_logs() as logs:
        async with renewing(lease_of(core)):
            await core.link.call("DEL", KEYS.gateways(PARTITION))
            await core.link.call("SET", KEYS.gateways(PARTITION), "no zset")
            await eventually(lambda: [line for line in logs if line["event"] == "lease.not_renewed"])
            await core.link.call("DEL", KEYS.gateways(PARTITION))
            await has_a_lease(core)
    assert {line["log_level"] for line in logs if line["event"] == "lease.not_renewed"} == {"warning"}


async def test_a_gateway_that_stops_gives_its_leases_up(core: GatewayCore) -> None:
    """A gateway that stops gives up its leases, so that other gateways need not wait for their end."""
    gateway_lease = lease_of(core)
    async with renewing(gateway_lease):
        pass
    await gateway_lease.give_up()
    assert await expiry(core) == 0
