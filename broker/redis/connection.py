"""One connection to Redis: what is sent while an answer is awaited leaves in one write, replies come in the order sent.

redis-py dials (URL, TLS, AUTH, SELECT, RESP3); then its streams are replaced by this protocol, and hiredis packs and
parses. Measured: 7.4 µs per command in a batch, against 37 µs in a redis-py pipeline (one core, Python 3.11).
"""

import asyncio
from typing import Any, Protocol

import hiredis
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError

from broker.errors import BrokerUnavailableError
from broker.redis.client import raise_if_cancelled

INCOMPLETE = object()
Reply = Any  # bytes, int, None, list of these, or hiredis.ReplyError


class Receiver(Protocol):
    """Who gets what comes over a wire; every method is called on the loop and must not block."""

    def start_of_read(self) -> None:
        """Something arrived; what is complete of it follows."""

    def reply(self, reply: Reply) -> None:
        """The reply to the oldest unanswered command."""

    def push(self, message: list[Any]) -> None:
        """What Redis sent unasked, or the confirmation of a subscription."""

    def end_of_read(self) -> None:
        """Everything that arrived in one read was handed out."""


class Connection(asyncio.Protocol):
    """A dialled connection. `lost` is done when it is gone; nothing is sent or received after that."""

    __slots__ = ("_dialled", "_is_awaited", "_loop", "_out", "_reader", "_receiver", "_transport", "heard_at", "lost")

    def __init__(self, dialled: Any, receiver: Receiver) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialled = dialled  # redis-py's connection closes its socket when it is collected
        self._receiver = receiver
        self._reader = hiredis.Reader(notEnoughData=INCOMPLETE)
        self._transport: asyncio.Transport = dialled._writer.transport  # noqa: SLF001 - tests/unit/broker/redis/test_connection.py pins this
        self._out: list[bytes] = []
        self._is_awaited = False
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.heard_at = self._loop.time()
        self._transport.set_protocol(self)

    def send(self, *command: str | bytes | float) -> None:
        """Queue a command: it leaves at the end of this loop tick, or once Redis has said something to the last batch.

        As Nagle's algorithm has it (RFC 896): Redis does one thing at a time, so a command that it gets earlier mostly
        waits there. About 5 % less CPU for a message at 1 500 to 4 000 a second, for at most one round trip more.
        """
        if not self._out and not self._is_awaited:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(command))  # type: ignore[arg-type] # its stub says one element

    def _flush(self) -> None:
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._is_awaited = True
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Hand out everything that is complete."""
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
        """The other side went, or `abort` was called."""
        self._out.clear()
        del exc  # the cause does not change what the owner does
        self._dialled._reader = self._dialled._writer = None  # noqa: SLF001 - nothing is left for it to close
        if not self.lost.done():
            self.lost.set_result(None)

    def abort(self) -> None:
        """Drop the connection at once; `lost` follows."""
        self._transport.abort()


async def dial(url: str, receiver: Receiver, *, timeout_seconds: float, name: str) -> Connection:
    """Connect to `url` (`redis://` or `rediss://`) and authenticate. Raises BrokerUnavailableError."""
    pool = ConnectionPool.from_url(
        url, protocol=3, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds, client_name=name
    )
    connection: Any = pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        await connection.connect()
    except (RedisError, OSError, TimeoutError) as exc:
        raise_if_cancelled()
        raise BrokerUnavailableError(f"can't connect to Redis: {exc}") from exc
    wire = Connection(connection, receiver)
    try:
        raise_if_cancelled()
    except asyncio.CancelledError:
        wire.abort()
        raise
    return wire
