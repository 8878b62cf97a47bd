"""What may go wrong between an upgrade's request and the detached socket, seen from the client."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.conformance.echo import Echo, echo_app, serving
from tests.frames import server_frames, text
from tests.raw_client import HEADERS, request

DEADLINE_SECONDS = 10.0
HEAD = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
Application = Callable[[Any, Any, Any], Awaitable[None]]


class Waiting:
    """An application that accepts and detaches once it is told to."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        await receive()
        self.has_begun.set()
        await self.may_go_on.wait()
        await send({"type": "websocket.accept"})
        scope["extensions"]["seance.detach"](Echo)


async def answer_to(app: Application, path: str = "/", before: str = "") -> bytes:
    """All that a server says to one upgrade until it closes the connection."""
    async with serving(app) as (_server, port), asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{before}GET {path} HTTP/1.1\r\n{HEAD}\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize("path", ["http://", "http://localhost:99999/", "/\N{LATIN SMALL LETTER E WITH ACUTE}"])
async def test_bad_target(path: str) -> None:
    """A target that is no URL is answered with 400."""
    answer = await answer_to(echo_app(), path)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_absolute_target() -> None:
    """A target in absolute form, even without a path, is upgraded like its path."""
    async with serving(echo_app()) as (_server, port):
        for path in ("http://localhost", "http://localhost/"):
            status, _headers, _reader, writer = await request(f"http://127.0.0.1:{port}", path, HEADERS)
            assert status == 101
            writer.close()
            await writer.wait_closed()


async def test_refusals_have_the_common_headers() -> None:
    """A refused upgrade carries the headers that uvicorn adds to every answer, and closes."""
    head = (await answer_to(echo_app(), "/nowhere")).split(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"HTTP/1.1 403 Forbidden"
    assert head[1].startswith(b"date: ")
    assert head[2:] == [b"content-length: 0", b"connection: close"]


async def test_failing_application() -> None:
    """An application that fails is answered for with 500, and the failure is logged."""

    async def fail(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send
        raise ZeroDivisionError

    with capture_logs() as logs:
        answer = await answer_to(fail)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert [(line["event"], line["log_level"]) for line in logs] == [("upgrade.failed", "error")]


async def test_silent_application() -> None:
    """An application that returns without an answer is answered for with 500."""

    async def say_nothing(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send

    assert (await answer_to(say_nothing)).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


async def test_application_that_keeps_the_socket() -> None:
    """An application that accepts and does not detach leaves a connection that is closed."""

    async def accept(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "websocket.accept"})

    answer = await answer_to(accept)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"\r\n\r\n")


async def test_header_with_a_line_break() -> None:
    """A header that would smuggle in another one is never sent."""

    async def accept(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "websocket.accept", "headers": [(b"x-a", b"1\r\nset-cookie: b=2")]})

    with capture_logs():
        answer = await answer_to(accept)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"cookie" not in answer


async def test_upgrade_ahead_of_an_answer() -> None:
    """An upgrade sent before the answer to the request ahead of it ends the connection, and no 101 comes."""
    answer = await answer_to(echo_app(), before="GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 101 " not in answer


async def test_shutdown_during_the_upgrade() -> None:
    """A server that goes down while the application decides refuses with 503, whatever the application says then."""
    app = Waiting()
    async with serving(app) as (server, port), asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\n{HEAD}\r\n".encode())
        await app.has_begun.wait()
        ending = asyncio.create_task(server.shutdown())
        assert (await reader.read()).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        with capture_logs() as logs:
            app.may_go_on.set()
            await ending
        assert [line["event"] for line in logs] == ["upgrade.abandoned"]
        assert server.server_state.connections == set()
        writer.close()
        await writer.wait_closed()


async def test_no_byte_is_lost() -> None:
    """What a client sends while the application decides is for the detached socket, every byte of it."""
    app = Waiting()
    async with serving(app) as (_server, port), asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\n{HEAD}\r\n".encode())
        await app.has_begun.wait()
        writer.write(text("early") + text("x" * 1000))
        await writer.drain()
        app.may_go_on.set()
        await reader.readuntil(b"\r\n\r\n")
        frames = [payload for _opcode, payload, _end in server_frames(await reader.readexactly(2 + 5 + 4 + 1000))]
        assert frames == [b"early", b"x" * 1000]
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("is_polite", [True, False], ids=["end of stream", "reset"])
async def test_client_that_goes_during_the_upgrade(*, is_polite: bool) -> None:
    """A client that is gone when the application accepts leaves nothing behind and no error in the log."""
    app = Waiting()
    async with serving(app) as (server, port), asyncio.timeout(DEADLINE_SECONDS):
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\n{HEAD}\r\n".encode())
        await app.has_begun.wait()
        if is_polite:
            writer.close()
            await writer.wait_closed()
        else:
            writer.transport.abort()
        with capture_logs() as logs:
            app.may_go_on.set()
            while server.server_state.connections or server.server_state.tasks:  # noqa: ASYNC110 - uvicorn's own sets
                await asyncio.sleep(0)
        assert [line for line in logs if line["log_level"] == "error"] == []
