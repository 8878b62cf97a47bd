"""The time between an upgrade's request and the detached socket, seen from the client: refusals and failures."""

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
    """An application that accepts and detaches when the test allows it."""

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
    """The bytes that a server answers to one upgrade until it closes the connection."""
    async with serving(app) as (_server, port), asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{before}GET {path} HTTP/1.1\r\n{HEAD}\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize("path", ["http://", "http://localhost:99999/", "/\N{LATIN SMALL LETTER E WITH ACUTE}"])
async def test_a_target_that_is_no_url_is_refused(path: str) -> None:
    """A target that is no URL is answered with 400."""
    answer = await answer_to(echo_app(), path)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_a_target_in_absolute_form_is_upgraded() -> None:
    """A target in absolute form is upgraded like its path, also without a path."""
    async with serving(echo_app()) as (_server, port):
        for path in ("http://localhost", "http://localhost/"):
            status, _headers, _reader, writer = await request(f"http://127.0.0.1:{port}", path, HEADERS)
            assert status == 101
            writer.close()
            await writer.wait_closed()


async def test_a_refused_upgrade_has_the_common_headers_and_closes() -> None:
    """A refused upgrade has the headers that uvicorn adds to every answer, and closes the connection."""
    head = (await answer_to(echo_app(), "/nowhere")).split(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"HTTP/1.1 403 Forbidden"
    assert head[1].startswith(b"date: ")
    assert head[2:] == [b"content-length: 0", b"connection: close"]


async def test_an_application_that_raises_is_answered_with_500() -> None:
    """When the application raises, the client gets 500 and the failure is logged."""

    async def fail(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send
        raise ZeroDivisionError

    with capture_logs() as logs:
        answer = await answer_to(fail)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert [(line["event"], line["log_level"]) for line in logs] == [("upgrade.failed", "error")]


async def test_an_application_without_an_answer_is_answered_with_500() -> None:
    """When the application returns without an answer, the client gets 500."""

    async def say_nothing(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send

    assert (await answer_to(say_nothing)).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


async def test_a_socket_that_is_accepted_and_not_detached_is_closed() -> None:
    """When the application accepts and does not detach, the connection is closed."""

    async def accept(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "websocket.accept"})

    answer = await answer_to(accept)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"\r\n\r\n")


async def test_a_header_with_a_line_break_is_not_sent() -> None:
    """A header with a line break, which would inject another header, is never sent."""

    async def accept(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        await send({"type": "websocket.accept", "headers": [(b"x-a", b"1\r\nset-cookie: b=2")]})

    with capture_logs():
        answer = await answer_to(accept)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"cookie" not in answer


async def test_an_upgrade_before_the_last_answer_closes_without_a_101() -> None:
    """An upgrade sent before the answer to the request before it closes the connection; no 101 is sent."""
    answer = await answer_to(echo_app(), before="GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 101 " not in answer


async def test_a_shutdown_during_the_upgrade_refuses_with_503() -> None:
    """A server that stops while the application decides refuses with 503, whatever the application sends later."""
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


async def test_bytes_sent_during_the_upgrade_reach_the_detached_socket() -> None:
    """Every byte that a client sends while the application decides reaches the detached socket."""
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
async def test_a_client_lost_during_the_upgrade_leaves_nothing_behind(*, is_polite: bool) -> None:
    """When the client disconnects before the accept, nothing is left behind and no error is logged."""
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
