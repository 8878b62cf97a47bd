"""The link when Redis is there but serves nobody, or is no longer the primary: it dials until it reaches a primary."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from broker.errors import BrokerUnavailableError, NotPrimaryError
from broker.redis.backoff import Backoff
from broker.redis.dial import dial
from broker.redis.link import Link
from tests.proxy import Proxy, proxy
from tests.redis_receiver import RecordingReceiver
from tests.redis_server import RedisServer, follow, redis_server, with_password
from tests.session_state import kept
from tests.waiting import eventually


@pytest.fixture
async def other(server: RedisServer, tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A second server, which takes the password of the first one."""
    folder = tmp_path / "other"
    folder.mkdir()
    async with redis_server(folder) as other:
        with other.client() as redis:
            redis.config_set("requirepass", str(urlsplit(server.url).password))
        other.url = with_password(other.url, server.url)
        yield other


def quick_link(url: str) -> Link:
    """A link that dials often."""
    return Link(url, backoff=Backoff(0.01, 0.05))


async def test_a_replica_is_not_dialled(server: RedisServer) -> None:
    """A replica takes no writes, so that a connection to it is of no use."""
    follow(server.url, "redis://127.0.0.1:1/0")
    with pytest.raises(NotPrimaryError, match="it is a replica"):
        await dial(server.url, RecordingReceiver(), timeout_seconds=5, name="eager")


async def test_a_redis_that_loads_its_data_is_not_connected_yet(server: RedisServer) -> None:
    """While Redis loads its data every command would be refused: dialling fails until Redis serves."""
    link = quick_link(server.url)
    async with kept(link.keeper):
        await link.call("SET", "key", "text")
        await server.restart_loading()
        await eventually(lambda: not link.is_up)
        with capture_logs() as lines:
            await eventually(lambda: any("LOADING" in line.get("reason", "") for line in lines))
        assert not link.is_up
        server.finish_loading()
        await asyncio.wait_for(link.keeper.wait_up(), 10)
        assert await link.call("GET", "key") == b"text"


@pytest.mark.parametrize("command", [("SET", "key", "text"), ("EVAL", "return redis.call('SET', 'key', 1)", 0)])
async def test_the_first_refusal_of_a_replica_ends_the_connection(
    server: RedisServer, other: RedisServer, command: tuple[str | int, ...]
) -> None:
    """After a failover the address leads to the new primary: the link follows at the first refusal of the old one."""
    async with proxy(server.url) as address:
        link = quick_link(address.url(server.url))
        async with kept(link.keeper):
            _fail_over(server, other, address)
            with pytest.raises(NotPrimaryError, match="READONLY"):
                await link.call(*command)
            await asyncio.wait_for(link.keeper.wait_up(), 10)
            await link.call(*command)
            with other.client() as redis:
                assert redis.exists("key") == 1


async def test_a_waiting_read_follows_to_the_new_primary(server: RedisServer, other: RedisServer) -> None:
    """A command that waits when its server becomes a replica is refused at once, and its link follows too."""
    async with proxy(server.url) as address:
        link = quick_link(address.url(server.url))
        async with kept(link.keeper):
            waiting = link.call("BLPOP", "list", 0)
            await eventually(lambda: _blocked(server))
            _fail_over(server, other, address)
            with pytest.raises(NotPrimaryError, match="UNBLOCKED"):
                await waiting
            await asyncio.wait_for(link.keeper.wait_up(), 10)
            assert await link.call("RPUSH", "list", 1) == 1


async def test_a_link_without_a_primary_dials_with_pauses(server: RedisServer) -> None:
    """When the address still leads to the old primary, the link dials again and again, and no call waits."""
    link = quick_link(server.url)
    async with kept(link.keeper):
        follow(server.url, "redis://127.0.0.1:1/0")
        with pytest.raises(NotPrimaryError):
            await link.call("SET", "key", "text")
        with capture_logs() as lines:
            await eventually(lambda: len([line for line in lines if line["event"] == "redis.unreachable"]) >= 2)
        with pytest.raises(BrokerUnavailableError, match="not reachable"):
            await link.call("GET", "key")
        follow(server.url, None)
        await asyncio.wait_for(link.keeper.wait_up(), 10)
        assert await link.call("SET", "key", "text") == b"OK"


async def test_a_command_without_an_answer_fails_in_time(server: RedisServer) -> None:
    """While Redis hangs a command fails with the time limit, not a look or two later."""
    link = Link(server.url, timeout_seconds=1)
    async with kept(link.keeper):
        await link.call("PING")
        server.pause()
        began_at = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match="broke"):
            await link.call("PING")
        assert 0.9 < time.monotonic() - began_at < 1.9
        server.resume()


async def test_connections_that_break_at_once_are_dialled_with_pauses() -> None:
    """A server that ends every connection as soon as it works is not dialled in a loop without a pause."""
    dialled: list[float] = []
    loop = asyncio.get_running_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(loop.time())
        await reader.read(4096)
        writer.write(b"%0\r\n+PONG\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    link = Link(f"redis://{host}:{port}", backoff=Backoff(0.2, 0.2))
    async with kept(link.keeper):
        await eventually(lambda: len(dialled) == 3)
    server.close()
    await server.wait_closed()
    assert min(later - earlier for earlier, later in pairwise(dialled)) >= 0.1  # half of a step


def _fail_over(old: RedisServer, new: RedisServer, address: Proxy) -> None:
    """Let the address lead to the new primary, and make the old one its replica; open connections stay."""
    address.lead_to(new.url)
    follow(old.url, new.url)


def _blocked(server: RedisServer) -> bool:
    with server.client() as redis:
        return bool(redis.info("clients")["blocked_clients"])
