"""The proxy of the tests does what it says: each fault is what the two sides would see on a bad network."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.proxy import Proxy, proxy

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every byte with itself."""
    try:
        while data := await reader.read(1000):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def between() -> AsyncIterator[Proxy]:
    """A proxy to a server that echoes."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, proxy(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}") as between:
        yield between


async def dial(between: Proxy, head: bytes) -> Stream:
    """A connection through the proxy that has said `head` and heard it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", between.port)
    await exchange((reader, writer), head)
    return reader, writer


async def exchange(stream: Stream, data: bytes) -> None:
    """Send, and hear it again."""
    reader, writer = stream
    writer.write(data)
    assert await asyncio.wait_for(reader.readexactly(len(data)), 5) == data


async def test_blackhole(between: Proxy) -> None:
    """Only what matches is silent, without an end; what was sent meanwhile comes when it is healed."""
    one, other = await dial(between, b"one"), await dial(between, b"other")
    assert await between.blackhole(b"one") == 1
    one[1].write(b"lost?")
    await exchange(other, b"through")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one[0].read(1), 0.1)
    await between.heal()
    assert await asyncio.wait_for(one[0].readexactly(5), 5) == b"lost?"
    for _, writer in (one, other):
        writer.close()


async def test_blackhole_of_new_connections(between: Proxy) -> None:
    """A connection that is made during a blackhole is silent too."""
    await between.blackhole()
    reader, writer = await asyncio.open_connection("127.0.0.1", between.port)
    writer.write(b"x")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    await between.heal()
    assert await asyncio.wait_for(reader.read(1), 5) == b"x"
    writer.close()


async def test_reset(between: Proxy) -> None:
    """A reset breaks what matches with an error, and nothing else."""
    one, other = await dial(between, b"one"), await dial(between, b"other")
    assert between.reset(b"one") == 1
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(one[0].read(1), 5)
    await exchange(other, b"through")
    other[1].close()


async def test_half_close(between: Proxy) -> None:
    """After a half-close the client hears the end of the stream."""
    one = await dial(between, b"one")
    assert between.half_close() == 1
    assert await asyncio.wait_for(one[0].read(1), 5) == b""
    one[1].close()


async def test_latency(between: Proxy) -> None:
    """Every byte comes late, in both directions, and in order."""
    one = await dial(between, b"one")
    between.latency_seconds = 0.1
    start = asyncio.get_running_loop().time()
    await exchange(one, b"x" * 100_000)
    # One direction alone would take half of 0.2 s.
    assert asyncio.get_running_loop().time() - start > 0.15
    one[1].close()


async def test_end(between: Proxy) -> None:
    """An end by either side goes through, and leaves no connection behind."""
    one = await dial(between, b"one")
    one[1].write_eof()
    assert await asyncio.wait_for(one[0].read(1), 5) == b""
    one[1].close()
