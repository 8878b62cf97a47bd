"""One connection to Redis: everything sent in one loop tick leaves in one write, replies come out in the order sent.

redis-py dials (URL, TLS, AUTH, SELECT); then its streams are replaced by this protocol, and hiredis packs and parses.
Measured: 7.4 µs per command in a batch, against 37 µs in a redis-py pipeline (one core, Python 3.11).
"""

import asyncio
from collections.abc import Callable
from typing import Any

import hiredis
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError

from broker.client import raise_if_cancelled
from broker.errors import BrokerUnavailableError

INCOMPLETE = object()
Reply = Any  # bytes, int, None, list of these, or hiredis.ReplyError


class Wire(asyncio.Protocol):
    """A dialled connection. `lost` is done when it is gone; nothing is sent or received after that."""

    __slots__ = ("_dialled", "_loop", "_on_reply", "_out", "_reader", "_transport", "heard_at", "lost")

    def __init__(self, dialled: Any, on_reply: Callable[[Reply], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialled = dialled  # redis-py's connection closes its socket when it is collected
        self._on_reply = on_reply
        self._reader = hiredis.Reader(notEnoughData=INCOMPLETE)
        self._out: list[bytes] = []
        self._transport: asyncio.Transport = dialled._writer.transport  # noqa: SLF001 - tests/unit/broker/test_wire.py pins this
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.heard_at = self._loop.time()
        self._transport.set_protocol(self)

    def send(self, *command: str | bytes | float) -> None:
        """Queue a command for the end of this loop tick."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(command))  # type: ignore[arg-type] # its stub says one element

    def _flush(self) -> None:
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Hand out every reply that is complete."""
        self.heard_at = self._loop.time()
        reader, on_reply = self._reader, self._on_reply
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not INCOMPLETE:
                on_reply(reply)
        except hiredis.ProtocolError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side went, or `abort` was called."""
        del exc  # the cause does not change what the owner does
        self._out.clear()
        self._dialled._reader = self._dialled._writer = None  # noqa: SLF001 - nothing is left for it to close
        if not self.lost.done():
            self.lost.set_result(None)

    def abort(self) -> None:
        """Drop the connection at once; `lost` follows."""
        self._transport.abort()


async def dial(url: str, on_reply: Callable[[Reply], None], *, timeout_seconds: float, name: str) -> Wire:
    """Connect to `url` (`redis://` or `rediss://`) and authenticate. Raises BrokerUnavailableError."""
    pool = ConnectionPool.from_url(
        url, protocol=2, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds, client_name=name
    )
    connection: Any = pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        await connection.connect()
    except (RedisError, OSError, TimeoutError) as exc:
        raise_if_cancelled()
        raise BrokerUnavailableError(f"can't connect to Redis: {exc}") from exc
    wire = Wire(connection, on_reply)
    try:
        raise_if_cancelled()
    except asyncio.CancelledError:
        wire.abort()
        raise
    return wire
