"""Requests whose head or body does not end: neither memory nor sockets are held for them."""

import asyncio
import contextlib
import json

import pytest

from gateway.connection.upgrade import MAX_HEAD_BYTES
from tests.gateways import Gateway
from tests.raw_client import connected
from tests.rest import call, create_session

DEADLINE_SECONDS = 30.0


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /live HTTP/1.1\r\nHost: x\r\n", id="half a head"),
        pytest.param(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\nGET /live", id="half a second head"),
        pytest.param(
            b"GET /ws/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\n",
            id="an upgrade without its body",
        ),
    ],
)
async def test_unfinished_request(gateways: list[Gateway], start: bytes) -> None:
    """A connection on which no whole request comes is closed after some seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateways[0].port)
    writer.write(start)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await reader.read()
    writer.close()


async def test_unfinished_body(gateways: list[Gateway]) -> None:
    """A body that somebody waits for is answered with 408 and the envelope; unread ones end the connection, too."""

    async def trickle(head: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateways[0].port)
        writer.write(head + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n")
        answer = asyncio.create_task(reader.read(), name="answer")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not answer.done():
                writer.write(b" ")
                await asyncio.wait((answer,), timeout=0.2)
        writer.close()
        return b"" if isinstance(answer.exception(), ConnectionError) else answer.result()

    awaited, unread = await asyncio.gather(trickle(b"POST /api/sessions"), trickle(b"GET /live"))
    assert awaited.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in awaited
    assert b"connection: close" in awaited.lower()
    assert unread[:12] in {b"HTTP/1.1 200", b""}


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n"])
async def test_endless_head(gateways: list[Gateway], start: bytes) -> None:
    """A head that grows and grows is refused with 431 and the connection closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateways[0].port)
    writer.write(start)
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            writer.write(b"X-Header: value\r\n" * 100 if start.endswith(b"\r\n") else b"x" * 1000)
            await writer.drain()
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
    assert answer[:12] in {b"HTTP/1.1 431", b""}
    assert writer.is_closing() or reader.at_eof()
    writer.close()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        pytest.param(b"no HTTP\r\n\r\n", b"400", "malformed_request", id="no HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400", "malformed_request", id="bad length"),
        pytest.param(
            b"GET / HTTP/1.1\r\nX: ".ljust(MAX_HEAD_BYTES + 1, b"x"),
            b"431",
            "request_header_fields_too_large",
            id="large head",
        ),
    ],
)
async def test_a_refusal_before_there_is_a_request_has_the_envelope(
    gateways: list[Gateway], sent: bytes, status: bytes, code: str
) -> None:
    """Programs read the reason from JSON, whatever they have sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateways[0].port)
    writer.write(sent)
    async with asyncio.timeout(DEADLINE_SECONDS):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"content-type: application/json" in head
    answer = json.loads(body)
    assert (answer["success"], answer["data"], answer["error"]["code"]) == (False, None, code)
    assert answer["meta"]["request_id"]


async def test_large_body_is_no_head(gateway_url: str) -> None:
    """What follows a head does not count for it, and a socket that was upgraded stays."""
    session = await create_session(gateway_url)
    answer = await call(gateway_url, "POST", "/api/sessions", body={"name": "x" * 200_000})
    assert answer.status_code == 413
    async with connected(gateway_url, session["id"]) as ana:
        await ana.join("Ana")
        for number in range(100):
            await ana.say({"type": "ping", "id": f"{number}", "padding": "x" * 10_000})
            assert (await ana.event())["id"] == f"{number}"
