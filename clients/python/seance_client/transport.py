"""How a client reaches a gateway: the only file that knows the WebSocket library. Tests use their own Connector."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from seance_client.closes import NO_CLOSE_FRAME
from seance_client.proxies import is_loopback
from seance_client.retry_after import seconds_of

BATCHES = "seance.v1.batch"
_CLOSE_SECONDS = 2.0


class ConnectionEndedError(Exception):
    """The connection has ended with this close code; 1006: without one."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class UpgradeRefusedError(Exception):
    """The server answered the upgrade with this HTTP status; `retry_after` in seconds, 0 when it names none."""

    def __init__(self, status: int, reason: str, retry_after: float) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The WebSocket URL and the options of a connection. A Connector may use another `url`."""

    url: str
    wants_batches: bool = False
    max_frame_bytes: int = 8 * 1024 * 1024
    headers: Mapping[str, str] = {}
    tls: ssl.SSLContext | None = None
    proxy: str | None = None
    """The URL of a proxy. None: that of the environment, except for loopback addresses."""


class Connection(Protocol):
    """One open connection."""

    async def receive(self) -> bytes:
        """The next text frame. Raises ConnectionEndedError."""

    async def send(self, frame: bytes) -> None:
        """Send a text frame; waits while the other side reads too slowly. Raises ConnectionEndedError."""

    async def close(self) -> None:
        """Close with a close frame; drop the connection after 2 s."""

    def abort(self) -> None:
        """Drop the connection without a close frame."""


Connector = Callable[[Target], Awaitable[Connection]]
"""Opens a connection. Raises UpgradeRefusedError and OSError."""


class WebSocket:
    """A Connection of the `websockets` library, which answers pings while the client reads."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> bytes:
        """The next text frame. Raises ConnectionEndedError."""
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as error:
            raise _ended(error) from error

    async def send(self, frame: bytes) -> None:
        """Send a text frame. Raises ConnectionEndedError."""
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed as error:
            raise _ended(error) from error

    async def close(self) -> None:
        """Close with a close frame; drop the connection after 2 s."""
        await self._connection.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._connection.transport.abort()


async def open_websocket(target: Target) -> Connection:
    """The usual Connector. Raises UpgradeRefusedError and OSError."""
    # The library accepts `ssl` only for `wss`.
    secured: dict[str, Any] = {} if target.tls is None else {"ssl": target.tls}
    try:
        connection = await dial(
            target.url,
            # No compression: chat frames are too small, and compression costs the server memory per connection.
            compression=None,
            subprotocols=[Subprotocol(BATCHES)] if target.wants_batches else None,
            additional_headers=dict(target.headers),
            max_size=target.max_frame_bytes,
            # No pings: the server sends the heartbeat, and the state machine notices a dead server.
            ping_interval=None,
            open_timeout=None,
            close_timeout=_CLOSE_SECONDS,
            proxy=target.proxy or (None if is_loopback(target.url) else True),
            **secured,
        )
    except InvalidStatus as error:
        response = error.response
        reason = response.reason_phrase or "the upgrade was refused"
        retry_after = seconds_of(response.headers.get("Retry-After"))
        raise UpgradeRefusedError(response.status_code, reason, retry_after) from error
    except WebSocketException as error:
        raise OSError(f"no WebSocket came about: {error}") from error
    except ImportError as error:
        # The library needs another package for a SOCKS proxy, and the message names the package.
        raise OSError(str(error)) from error
    return WebSocket(connection)


def _ended(error: ConnectionClosed) -> ConnectionEndedError:
    # When this client began the close, because of an invalid frame, the code says nothing about the gateway's wishes.
    if error.rcvd is None or (error.sent is not None and not error.rcvd_then_sent):
        reason = error.sent.reason if error.sent is not None else "the connection was lost"
        return ConnectionEndedError(NO_CLOSE_FRAME, reason)
    return ConnectionEndedError(error.rcvd.code, error.rcvd.reason)


async def give_up_after(seconds: float, opening: Awaitable[Connection]) -> Connection:
    """Open the connection. Raises OSError when the time is over, and the errors of the Connector."""
    try:
        async with asyncio.timeout(seconds):
            return await opening
    except TimeoutError as error:
        raise OSError(f"no connection within {seconds:g} s") from error
