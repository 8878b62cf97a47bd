"""An echo server for tests: uvicorn and the product's upgrade, detached into an echo built on the product's codec.

`python -m tests.conformance.echo [CERTIFICATE KEY]` listens on a free port of the loopback, over TLS if it is given a
certificate, prints the port, and serves until its input ends.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from gateway.connection.connection import hang_up
from gateway.connection.upgrade import UpgradeProtocol
from gateway.protocol.decoder import Decoder
from gateway.protocol.frames import (
    Binary,
    Close,
    Event,
    Ping,
    Pong,
    Text,
    Violation,
    close_frame,
    pong_frame,
    text_frame,
)

MAX_MESSAGE_BYTES = 32 * 1024 * 1024  # the suite's largest message has 16 MiB
CLOSE_SECONDS = 5.0
RESTART = 1012
_BINARY = b"\x82"


class Echo(asyncio.Protocol):
    """Sends every message back; pings, closes and violations are answered as gateway/connection/connection.py does."""

    def __init__(self, registry: set[Any], address: str = "") -> None:
        self.address = address
        self._registry = registry
        self._decoder = Decoder(MAX_MESSAGE_BYTES)
        self._transport: asyncio.Transport
        self._closer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The upgrade is done."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._registry.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        for event in self._decoder.feed(data)[0]:
            self._take(event)

    def pause_writing(self) -> None:
        """The client reads more slowly than it sends: hear nothing more until it has caught up."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        del exc
        self._registry.discard(self)
        if self._closer is not None:
            self._closer.cancel()

    def shutdown(self) -> None:
        """The server is going down."""
        self._end(RESTART)

    def _take(self, event: Event) -> None:
        match event:
            case Text(payload):
                self._transport.write(text_frame(payload))
            case Binary(payload):
                self._transport.write(_BINARY + text_frame(payload)[1:])
            case Ping(payload):
                self._transport.write(pong_frame(payload))
            case Pong():
                pass
            case Close(code):
                if self._closer is None:
                    self._transport.write(close_frame(code))
                self._transport.close()
            case Violation(code, reason):
                self._end(code, reason)
                hang_up(self._transport)

    def _end(self, code: int, reason: str = "") -> None:
        if self._closer is None:
            self._transport.write(close_frame(code, reason))
            self._closer = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)


async def echo(websocket: WebSocket) -> None:
    """`GET /` with an upgrade: an echo; `x-peer` tells what the application takes for the client's address."""
    address = websocket.client.host if websocket.client is not None else ""
    await websocket.accept(headers=[(b"x-peer", address.encode()), (b"x-scheme", websocket.url.scheme.encode())])
    websocket.scope["extensions"]["seance.detach"](lambda registry: Echo(registry, address))


async def plain(request: Request) -> PlainTextResponse:
    """`GET /` without one."""
    del request
    return PlainTextResponse("echo\n")


def echo_app() -> Starlette:
    """The application with its one path."""
    return Starlette(routes=[WebSocketRoute("/", echo), Route("/", plain)])


@contextlib.asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """A uvicorn server of this app, in this loop, and its port; `options` are uvicorn's. Shut down at the end."""
    defaults = {"http": UpgradeProtocol, "ws": "none", "lifespan": "off", "log_config": None, "server_header": False}
    with contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=256)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, **{**defaults, **options}))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([listener])
        ticks = asyncio.create_task(server.main_loop(), name="uvicorn")
        try:
            yield server, listener.getsockname()[1]
        finally:
            server.should_exit = True
            await ticks
            await server.shutdown([listener])


async def main(certificate: str | None = None, key: str | None = None) -> None:
    """Serve until the standard input ends, so that the server never outlives whoever started it."""
    options = {"access_log": False, "timeout_graceful_shutdown": 1, "ssl_certfile": certificate, "ssl_keyfile": key}
    async with serving(echo_app(), **options) as (_server, port):
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
