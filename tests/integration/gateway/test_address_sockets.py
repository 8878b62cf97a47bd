"""The sockets of one address on all gateways, with a real Redis."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from broker.limits.sockets import SocketCounts
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.gateway_leases import GatewayLeases
from gateway.access.address_sockets import AddressSockets
from gateway.errors import ApiError
from tests.redis_server import RedisServer
from tests.session_state import KEYS, grant, kept, now_ms

MOST = 3
ADDRESS = "203.0.113.7"
PARTITION = KEYS.partition_of(ADDRESS)
KEY = KEYS.sockets(PARTITION, ADDRESS)


def sockets_of(link: Link, name: str, *, most: int = MOST, answer_seconds: float = 60) -> AddressSockets:
    """The counts of a gateway with this name and lease."""
    scripts = Scripts(link)
    counts = SocketCounts(link, scripts, GatewayLeases(link, scripts, keys=KEYS, name=name), keys=KEYS)
    return AddressSockets(counts, most, Counter(), answer_seconds=answer_seconds)


@pytest.fixture
async def gateways(link: Link) -> tuple[AddressSockets, AddressSockets]:
    """The counts of two gateways whose leases do not end."""
    for name in ("gw-1", "gw-2"):
        await grant(link, PARTITION, name)
    return sockets_of(link, "gw-1"), sockets_of(link, "gw-2")


async def opened(sockets: AddressSockets, address: str = ADDRESS) -> bool:
    """Upgrade one more socket; False when it is refused."""
    try:
        async with sockets.upgrading(address):
            sockets.opened(address)
    except ApiError as error:
        return error.status != 429
    return True


async def test_gateways_count_together(gateways: tuple[AddressSockets, AddressSockets], link: Link) -> None:
    """As many as there may be are let in, on whatever gateway; a closed one makes room."""
    one, other = gateways
    assert [await opened(one), await opened(other), await opened(one)] == [True] * 3
    assert [await opened(one), await opened(other)] == [False] * 2
    assert await opened(other, "203.0.113.8")
    one.closed(ADDRESS)
    assert await opened(other)
    assert await link.call("HGETALL", KEY) == {b"gw-1": b"1", b"gw-2": b"2"}


async def test_upgrades_under_way_count(gateways: tuple[AddressSockets, AddressSockets], link: Link) -> None:
    """Many upgrades at once do not slip through together; an upgrade that fails leaves nothing behind."""
    one, other = gateways
    async with AsyncExitStack() as stack:
        for _ in range(MOST):
            await stack.enter_async_context(one.upgrading(ADDRESS))
        assert [await opened(one), await opened(other)] == [False] * 2
    assert await opened(other)
    assert await link.call("HGETALL", KEY) == {b"gw-2": b"1"}


async def test_the_counts_of_a_dead_gateway_go_with_its_lease(
    gateways: tuple[AddressSockets, AddressSockets], link: Link
) -> None:
    """Nobody has to clean up; a gateway whose lease has expired comes back with its next socket."""
    one, other = gateways
    assert [await opened(one), await opened(one), await opened(other)] == [True] * 3
    assert not await opened(other)
    await link.call("ZADD", KEYS.gateways(PARTITION), now_ms() - 1, "gw-1")
    assert [await opened(other), await opened(other), await opened(other)] == [True, True, False]
    assert await link.call("HGETALL", KEY) == {b"gw-2": b"3"}
    await grant(link, PARTITION, "gw-1")
    assert not await opened(one)


async def test_nothing_stays_in_redis_of_an_address_that_is_gone(
    gateways: tuple[AddressSockets, AddressSockets], link: Link
) -> None:
    """The last socket takes the key with it, and every key expires by itself."""
    one, _ = gateways
    assert await opened(one)
    assert 0 < await link.call("TTL", KEY) <= 300
    one.closed(ADDRESS)
    assert await link.call("EXISTS", KEY) == 0


async def test_without_a_limit_nothing_is_counted(link: Link) -> None:
    """0 is any number, and costs no round trip."""
    sockets = sockets_of(link, "gw-1", most=0)
    assert [await opened(sockets) for _ in range(10)] == [True] * 10
    sockets.closed(ADDRESS)
    assert await link.call("DBSIZE") == 0


@pytest.mark.parametrize("is_paused", [True, False])
async def test_without_redis_the_gateway_s_own_count_holds(server: RedisServer, *, is_paused: bool) -> None:
    """A Redis that is away or hangs refuses nobody."""
    link = Link(server.url)
    sockets = sockets_of(link, "gw-1", answer_seconds=0.05)
    if is_paused:
        async with kept(link.keeper):
            server.pause()
            assert [await opened(sockets) for _ in range(MOST + 1)] == [True] * MOST + [False]
            server.resume()
    else:
        assert [await opened(sockets) for _ in range(MOST + 1)] == [True] * MOST + [False]


async def test_counts_are_written_again(
    gateways: tuple[AddressSockets, AddressSockets], link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that has lost the counts learns them again, and does not forget those of quiet addresses."""
    one, other = gateways
    assert [await opened(one) for _ in range(MOST)] == [True] * MOST
    await link.call("DEL", KEY)
    monkeypatch.setattr("gateway.access.address_sockets.REFRESH_SECONDS", 0.001)
    refreshing = asyncio.create_task(one.run())
    while await opened(other):
        other.closed(ADDRESS)
    refreshing.cancel()
