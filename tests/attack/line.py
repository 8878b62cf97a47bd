"""One connection of an attacker: writes as fast as the gateway takes, and keeps hardly anything of what comes back."""

import asyncio
import re
import socket
from collections import Counter
from typing import Final, cast

import msgspec

from tests.frames import close, text
from tests.raw_client import KEY

LEAVE: Final = text('{"type":"leave"}')
_CLOSE: Final = b"\x88"
_TAIL_BYTES: Final = 127
_HEARD_BYTES: Final = 1 << 20
_HIGH_WATER_BYTES: Final = 256 * 1024
_ANSWER_SECONDS: Final = 30.0
# Members of a welcome, and of nothing else.
_TOKEN: Final = re.compile(rb'"token":"([^"]+)"')
_EPOCH: Final = re.compile(rb'"epoch":"([^"]+)"')
_HEAD: Final = re.compile(rb"\r\n\r\n")


class OverError(Exception):
    """The gateway refused the connection or ended it; `what` says how, for the tally."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Welcome(msgspec.Struct, frozen=True):
    """What a client needs to come back."""

    token: str
    epoch: str


class Line(asyncio.Protocol):
    """A connection at `/ws`. Counts refusals in `tally`, by what the gateway says."""

    def __init__(self, tally: "Counter[str]") -> None:
        self.is_over = False
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._heard: bytes | None = b""
        self._tail = b""
        self._wakes: asyncio.Future[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    async def upgrade(self, port: int, source: str, session_id: str, *, receive_bytes: int | None = None) -> None:
        """Connect from `source` and upgrade. Raises OverError."""
        connection = socket.socket()
        connection.setblocking(False)
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            connection.bind((source, 0))
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._loop.sock_connect(connection, ("127.0.0.1", port))
            await self._loop.create_connection(lambda: self, sock=connection)
        except (OSError, TimeoutError) as error:
            connection.close()
            raise OverError(f"connect: {type(error).__name__}") from error
        self._transport.set_write_buffer_limits(_HIGH_WATER_BYTES)
        self._tally["connections"] += 1
        self._transport.write(_request(session_id))
        head, rest = _HEAD.split(await self._until(_HEAD), maxsplit=1)
        status = head[9:12].decode()
        if status != "101":
            self.cut()
            raise OverError(f"HTTP {status}")
        self._heard = rest

    async def join(self, **fields: object) -> Welcome:
        """Join, and wait for the welcome. Raises OverError."""
        self.say(text(msgspec.json.encode({"type": "join", **fields})))
        heard = await self._until(_EPOCH, _TOKEN)
        self._heard = None
        self._tally["joins"] += 1
        return Welcome(_value(heard, _TOKEN), _value(heard, _EPOCH))

    def say(self, data: bytes) -> None:
        """Send bytes, if the connection is not over."""
        if not self.is_over:
            self._transport.write(data)

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until the system has taken nearly all of those before. Raises OverError."""
        await self._may_write.wait()
        await asyncio.sleep(0)  # as long as the system takes everything, nothing else would let the other sockets go on
        if self.is_over:
            raise OverError(self._ending())
        self._transport.write(data)
        self._tally["bytes"] += len(data)

    def stop_reading(self) -> None:
        """From now on nothing is read."""
        self._transport.pause_reading()

    async def over(self) -> None:
        """Wait for the end of the connection; raises OverError then."""
        while not self.is_over:
            self._wakes = self._loop.create_future()
            await self._wakes
        raise OverError(self._ending())

    async def closed(self, code: int) -> None:
        """Wait for the close that is expected; raises OverError for any other end."""
        try:
            await self.over()
        except OverError as over:
            if over.what != f"closed {code}":
                raise

    def cut(self) -> None:
        """End without a word."""
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._tally["rate_limited"] += data.count(b"rate_limited")
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        code = self._close_code()
        if code is not None and self._transport.get_write_buffer_size():
            self._transport.abort()  # the gateway will not read what waits here
        elif code is not None:
            self._transport.write(close(code))
            self._transport.close()
        if self._heard is not None and len(self._heard) < _HEARD_BYTES:
            self._heard += data
            self._wake()

    def pause_writing(self) -> None:
        """The gateway does not take more."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """The gateway takes more."""
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        del exc
        self.is_over = True
        self._may_write.set()
        self._wake()

    async def _until(self, *marks: re.Pattern[bytes]) -> bytes:
        """Everything heard, once all marks are in it. Raises OverError."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while self._heard is None or not all(mark.search(self._heard) for mark in marks):
                    if self.is_over:
                        raise OverError(self._ending())
                    self._wakes = self._loop.create_future()
                    await self._wakes
        except TimeoutError as error:
            self.cut()
            raise OverError("no answer") from error
        return self._heard

    def _wake(self) -> None:
        if self._wakes is not None and not self._wakes.done():
            self._wakes.set_result(None)

    def _ending(self) -> str:
        code = self._close_code()
        return "cut" if code is None else f"closed {code}"

    def _close_code(self) -> int | None:
        """The code of a close frame that came last; what stands before it is not parsed."""
        tail, place = self._tail, self._tail.find(_CLOSE)
        while place >= 0:
            if tail[place + 1 : place + 2] == bytes((len(tail) - place - 2,)):
                return int.from_bytes(tail[place + 2 : place + 4])
            place = tail.find(_CLOSE, place + 1)
        return None


def _value(heard: bytes, pattern: re.Pattern[bytes]) -> str:
    found = pattern.search(heard)
    assert found is not None
    return found[1].decode()


def _request(session_id: str) -> bytes:
    lines = (
        f"GET /ws/{session_id} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()
