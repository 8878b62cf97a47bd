"""A dialled connection to a real Redis: order, batches, messages, and its end."""

import asyncio

from broker.redis.connection import Connection
from broker.redis.dial import dial
from broker.redis.link import Link
from tests.redis_receiver import RecordingReceiver
from tests.waiting import eventually


async def test_no_command_is_sent_after_the_end(link: Link) -> None:
    """A command that is sent in the tick in which the connection ends is dropped, before or after the end."""
    connection = link._wire
    assert isinstance(connection, Connection)
    connection.send("INCR", "count")
    connection.abort()
    connection.send("INCR", "count")
    await connection.lost
    await eventually(lambda: link._wire not in (None, connection))
    assert await link.call("GET", "count") is None


async def test_an_end_before_the_flush_drops_the_queue(redis_url: str) -> None:
    """Queued commands are forgotten when the connection ends first."""
    connection = await dial(redis_url, RecordingReceiver(), timeout_seconds=5, name="ending")
    connection.abort()
    connection.send("PING")
    await connection.lost
    assert connection._out == []


async def test_pushed_messages_are_no_replies(redis_url: str) -> None:
    """Confirmations and messages of subscriptions come apart from the replies, and each read is followed by its end."""
    received = RecordingReceiver()
    connection = await dial(redis_url, received, timeout_seconds=5, name="pushed")
    connection.send("SUBSCRIBE", "one")
    connection.send("PUBLISH", "one", "text")
    await eventually(lambda: received.replies)
    await eventually(lambda: len(received.messages) == 2)
    assert received.messages == [[b"subscribe", b"one", 1], [b"message", b"one", b"text"]]
    assert received.replies == [1]
    assert 1 <= received.reads <= 3
    connection.abort()
    await connection.lost


async def test_commands_sent_while_an_answer_is_awaited_leave_together(redis_url: str) -> None:
    """Commands that are sent before Redis has answered leave with the next batch, in the order sent."""
    received = RecordingReceiver()
    connection = await dial(redis_url, received, timeout_seconds=5, name="batches")
    connection.send("ECHO", "1")
    await asyncio.sleep(0)  # the first has left now
    connection.send("ECHO", "2")
    connection.send("ECHO", "3")
    await asyncio.sleep(0)
    assert len(connection._out) == 2
    await eventually(lambda: len(received.replies) == 3)
    assert received.replies == [b"1", b"2", b"3"]
    assert connection._out == []
    connection.abort()
    await connection.lost
