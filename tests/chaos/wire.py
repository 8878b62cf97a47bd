"""One WebSocket connection of a chaos client: as little as is needed, so that thousands fit into one process."""

import asyncio
import socket
import struct
from typing import Final, Protocol, cast

from tests.frames import client_frame, close, text

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_SWITCHING: Final = b"HTTP/1.1 101"
_HEAD_END: Final = b"\r\n\r\n"
_LONG, _LONGER = 126, 127
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)


class Listener(Protocol):
    """Whose connection it is."""

    def opened(self, wire: "Wire") -> None:
        """The upgrade is done."""

    def said(self, wire: "Wire", payload: bytes) -> None:
        """A text frame came."""

    def ended(self, wire: "Wire", code: int) -> None:
        """It is over; 0 when there was no close frame."""


class Wire(asyncio.Protocol):
    """Upgrades, answers pings, hands out texts. `heard_at` is the loop's time of the last bytes."""

    def __init__(self, listener: Listener, path: str, *, wants_batches: bool) -> None:
        self.heard_at = 0.0
        self.is_open = False
        self._listener = listener
        self._request = _upgrade(path, wants_batches=wants_batches)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._data = b""
        self._code = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self.heard_at = self._loop.time()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.heard_at = self._loop.time()
        self._data = self._data + data if self._data else data
        if self.is_open or self._is_upgraded():
            self._read_frames()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        del exc
        self.is_open = False
        self._listener.ended(self, self._code)

    def say(self, payload: bytes) -> None:
        """Send a text."""
        self.send(text(payload))

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(data)

    def finish(self) -> None:
        """Close as one should."""
        self._transport.write(close(1000))
        self._transport.close()

    def cut(self) -> None:
        """End with a RST, without a word."""
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._transport.abort()

    def _is_upgraded(self) -> bool:
        head, end, rest = self._data.partition(_HEAD_END)
        if not end:
            return False
        if not head.startswith(_SWITCHING):
            self._transport.abort()
            return False
        self._data = rest
        self.is_open = True
        self._listener.opened(self)
        return True

    def _read_frames(self) -> None:
        data, start, size = self._data, 0, len(self._data)
        while size - start >= 2:
            length, body = data[start + 1], start + 2
            if length == _LONG:
                body += 2
                length = int.from_bytes(data[start + 2 : body])
            elif length == _LONGER:
                body += 8
                length = int.from_bytes(data[start + 2 : body])
            if size < body + length:
                break
            self._take(data[start] & 0x0F, data[body : body + length])
            start = body + length
        self._data = data[start:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT:
            self._listener.said(self, payload)
        elif opcode == _PING:
            self._transport.write(client_frame(_PONG, payload))
        elif opcode == _CLOSE:
            self._code = int.from_bytes(payload[:2])
            self._transport.write(close(self._code or None))
            self._transport.close()


def _upgrade(path: str, *, wants_batches: bool) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(("Sec-WebSocket-Protocol: seance.v1.batch",) if wants_batches else ()),
        "",
        "",
    )
    return "\r\n".join(lines).encode()
