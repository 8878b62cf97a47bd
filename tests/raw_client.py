"""A WebSocket client for tests that sends any bytes, wrong ones too, and reads exactly what comes back."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.frames import close, server_frames, text

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEADERS: Mapping[str, str | None] = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
_DEADLINE_SECONDS = 10.0
_READ_BYTES = 65_536
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10

Json = dict[str, Any]


class ClosedByServerError(Exception):
    """The server sent a close frame; `code` is None when it ended without one."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"closed with {code} {reason!r}")
        self.code = code
        self.reason = reason


class RawClient:
    """One upgraded connection. Reads fail after 10 s; pings and pongs are passed over.

    `said` and `heard` hold every object of either side.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.said: list[Json] = []
        self.heard: list[Json] = []
        self._reader = reader
        self._writer = writer
        self._received = b""

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        # A server that has already refused may have cut the connection; what it said can still be read.
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def say(self, message: Json) -> None:
        """Send an object in one text frame."""
        self.said.append(message)
        await self.send(text(json.dumps(message)))

    async def event(self) -> Json:
        """The next object of the server. Raises ClosedByServerError."""
        opcode, payload = await self._frame()
        if opcode == _CLOSE:
            code = int.from_bytes(payload[:2]) if payload else None
            raise ClosedByServerError(code, payload[2:].decode())
        assert opcode == _TEXT, f"unexpected opcode {opcode}"
        event: Json = json.loads(payload)
        self.heard.append(event)
        return event

    async def event_of(self, *kinds: str) -> Json:
        """The next object of one of these types; others are passed over."""
        while (event := await self.event())["type"] not in kinds:
            pass
        return event

    async def join(self, name: str, **fields: object) -> Json:
        """Join and return the welcome."""
        await self.say({"type": "join", "name": name, **fields})
        event = await self.event()
        assert event["type"] == "welcome", event
        return event

    async def closed(self) -> tuple[int | None, str]:
        """The code and reason of the server's close frame, which must be next, and then the end of the stream."""
        try:
            event = await self.event()
        except ClosedByServerError as closed:
            await self.send(close(closed.code))
            async with asyncio.timeout(_DEADLINE_SECONDS):
                with contextlib.suppress(ConnectionError):
                    assert await self._reader.read() == b"", "bytes after the close frame"
            return closed.code, closed.reason
        raise AssertionError(f"still open: {event}")

    async def end(self) -> None:
        """Cut the connection."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while True:
                for opcode, payload, end in server_frames(self._received):
                    self._received = self._received[end:]
                    if opcode not in {_PING, _PONG}:
                        return opcode, payload
                    break
                else:
                    await self._read()

    async def _read(self) -> None:
        try:
            data = await self._reader.read(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            raise ClosedByServerError(None, "")
        self._received += data


async def request(
    url: str,
    path: str,
    headers: Mapping[str, str | None],
    method: str = "GET",
    *,
    receive_bytes: int | None = None,
) -> tuple[int, dict[str, str], asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request with these headers (None: left out) and read the head of the answer.

    With `receive_bytes` the system takes hardly more than that from the server before it is read.
    """
    parts = urlsplit(url)
    connection = socket.socket()
    connection.setblocking(False)
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=receive_bytes or _READ_BYTES)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    writer.write("\r\n".join((*lines, "", "")).encode())
    async with asyncio.timeout(_DEADLINE_SECONDS):
        status, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    answered = dict(line.lower().split(": ", 1) for line in rest if line)
    return int(status.split()[1]), answered, reader, writer


@contextlib.asynccontextmanager
async def connected(
    url: str, session_id: str, headers: Mapping[str, str | None] = HEADERS, *, receive_bytes: int | None = None
) -> AsyncIterator[RawClient]:
    """A connection to a session that is upgraded, but has not joined; cut at the end."""
    path = f"/ws/{session_id}"
    status, _headers, reader, writer = await request(url, path, headers, receive_bytes=receive_bytes)
    client = RawClient(reader, writer)
    try:
        assert status == 101
        yield client
    finally:
        await client.end()
