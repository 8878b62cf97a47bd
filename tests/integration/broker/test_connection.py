"""The wire's hold on a connection that redis-py has really dialled."""

import asyncio

import hiredis

from broker.redis.connection import Connection, Reply, dial
from broker.redis.link import Link
from tests.session_state import eventually


class Notes:
    """Receives, and remembers."""

    def __init__(self) -> None:
        self.replies: list[object] = []
        self.messages: list[list[object]] = []
        self.reads = 0

    def start_of_read(self) -> None:
        """The start of a read."""

    def reply(self, reply: Reply) -> None:
        """A reply."""
        self.replies.append(reply)

    def push(self, message: list[object]) -> None:
        """What came unasked."""
        self.messages.append(message)

    def end_of_read(self) -> None:
        """The end of a read."""
        self.reads += 1


async def test_it_takes_the_connection_over(redis_url: str) -> None:
    """After dialling, the transport speaks to the wire alone, and nothing that redis-py asked is left to be read."""
    notes = Notes()
    replies = notes.replies
    wire = await dial(redis_url, notes, timeout_seconds=5, name="taken-over")
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
    assert isinstance(wire, Connection)
    wire.send("INCR", "count")
    wire.abort()
    wire.send("INCR", "count")
    await wire.lost
    await eventually(lambda: link._wire not in (None, wire))
    assert await link.call("GET", "count") is None


async def test_an_end_that_comes_before_the_flush(redis_url: str) -> None:
    """What was queued is forgotten when the connection ends first."""
    wire = await dial(redis_url, Notes(), timeout_seconds=5, name="ending")
    wire.abort()
    wire.send("PING")
    await wire.lost
    assert wire._out == []


async def test_pushed_messages_are_no_replies(redis_url: str) -> None:
    """Confirmations and messages of subscriptions come apart from the replies, and each read is followed by its end."""
    notes = Notes()
    wire = await dial(redis_url, notes, timeout_seconds=5, name="pushed")
    wire.send("SUBSCRIBE", "one")
    wire.send("PUBLISH", "one", "text")
    await eventually(lambda: notes.replies)
    await eventually(lambda: len(notes.messages) == 2)
    assert notes.messages == [[b"subscribe", b"one", 1], [b"message", b"one", b"text"]]
    assert notes.replies == [1]
    assert 1 <= notes.reads <= 3
    wire.abort()
    await wire.lost


async def test_sent_while_an_answer_is_awaited(redis_url: str) -> None:
    """What is sent before Redis has answered leaves with the next batch, in the order sent."""
    notes = Notes()
    wire = await dial(redis_url, notes, timeout_seconds=5, name="batches")
    wire.send("ECHO", "1")
    await asyncio.sleep(0)  # it has left now
    wire.send("ECHO", "2")
    wire.send("ECHO", "3")
    await asyncio.sleep(0)
    assert len(wire._out) == 2
    await eventually(lambda: len(notes.replies) == 3)
    assert notes.replies == [b"1", b"2", b"3"]
    assert wire._out == []
    wire.abort()
    await wire.lost
