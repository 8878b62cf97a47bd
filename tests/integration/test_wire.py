"""The wire's hold on a connection that redis-py has really dialled."""

import asyncio

import hiredis

from broker.link import Link
from broker.wire import Wire, dial
from tests.hot import eventually


async def test_it_takes_the_connection_over(redis_url: str) -> None:
    """After dialling, the transport speaks to the wire alone, and nothing that redis-py asked is left to be read."""
    replies: list[object] = []
    wire = await dial(redis_url, replies.append, timeout_seconds=5, name="taken-over")
    dialled = wire._dialled
    assert isinstance(dialled._reader, asyncio.StreamReader)
    assert isinstance(dialled._writer, asyncio.StreamWriter)
    assert dialled._writer.transport is wire._transport
    assert wire._transport.get_protocol() is wire
    assert dialled._reader._buffer == b""  # type: ignore[attr-defined]
    wire.send("CLIENT", "GETNAME")
    wire.send("ECHO", b"\r\n")
    wire.send("NONSENSE")
    await eventually(lambda: len(replies) == 3)
    assert replies[:2] == [b"taken-over", b"\r\n"]
    assert isinstance(replies[2], hiredis.ReplyError)
    wire.abort()
    await wire.lost
    streams: tuple[object, object] = (dialled._reader, dialled._writer)
    assert streams == (None, None)


async def test_nothing_is_sent_after_the_end(link: Link) -> None:
    """A command that is sent in the tick in which the connection ends is dropped, before or after the end."""
    wire = link._wire
    assert isinstance(wire, Wire)
    wire.send("INCR", "count")
    wire.abort()
    wire.send("INCR", "count")
    await wire.lost
    await eventually(lambda: link._wire not in (None, wire))
    assert await link.call("GET", "count") is None


async def test_an_end_that_comes_before_the_flush(redis_url: str) -> None:
    """What was queued is forgotten when the connection ends first."""
    wire = await dial(redis_url, print, timeout_seconds=5, name="ending")
    wire.abort()
    wire.send("PING")
    await wire.lost
    assert wire._out == []
