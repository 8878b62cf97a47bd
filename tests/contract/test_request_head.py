"""Requests whose head or body does not end: neither memory nor sockets are held for them."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from gateway.connection.upgrade import MAX_HEAD_BYTES
from tests.gateways import Gateway
from tests.raw_client import connected
from tests.rest import call, create_session

DEADLINE_SECONDS = 30.0


UNFINISHED = {
    "nothing": b"",
    "half a head": b"GET /live HTTP/1.1\r\nHost: x\r\n",
    "half a second head": b"GET /live HTTP/1.1\r\nHost: x\r\n\r\nGET /live",
    "an upgrade without its body": (
        b"GET /ws/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\n"
    ),
}
TRICKLED = {"awaited": b"POST /api/sessions", "unread": b"GET /live"}


@pytest.fixture(scope="module")
def answers(gateways: list[Gateway]) -> Iterator[dict[str, Future[bytes]]]:
    """What comes on each unfinished connection until it is closed; all wait at the same time, for ten seconds."""
    with ThreadPoolExecutor(len(UNFINISHED) + len(TRICKLED)) as pool:
        port = gateways[0].port
        yield {
            **{name: pool.submit(answer_to, port, start) for name, start in UNFINISHED.items()},
            **{name: pool.submit(answer_to_trickle, port, head) for name, head in TRICKLED.items()},
        }


def answer_to(port: int, start: bytes) -> bytes:
    """What comes until the gateway closes a connection on which only this was sent. Raises TimeoutError."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(DEADLINE_SECONDS)
        connection.sendall(start)
        with connection.makefile("rb") as answer:
            return answer.read()


def answer_to_trickle(port: int, head: bytes) -> bytes:
    """What comes until the gateway closes or resets a connection on which a body comes byte by byte without end."""
    answer = b""
    deadline = time.monotonic() + DEADLINE_SECONDS
    with socket.create_connection(("127.0.0.1", port)) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(
            head + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n"
        )
        connection.settimeout(0.2)  # between two bytes of the body
        while time.monotonic() < deadline:
            connection.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                part = connection.recv(65_536)
                if not part:
                    return answer
                answer += part
        raise TimeoutError(f"the connection is still open after {DEADLINE_SECONDS:g} s")
    return answer


@pytest.mark.parametrize("name", UNFINISHED)
def test_unfinished_request(answers: dict[str, Future[bytes]], name: str) -> None:
    """A connection on which no whole request comes is closed after some seconds."""
    answers[name].result()


def test_unfinished_body(answers: dict[str, Future[bytes]]) -> None:
    """A body that somebody waits for is answered with 408 and the envelope; unread ones end the connection, too."""
    awaited, unread = answers["awaited"].result(), answers["unread"].result()
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
