"""Random HTTP requests to every operation of a gateway, right and wrong in any part, byte for byte.

tests/contract holds valid requests and their answers to the OpenAPI document. Here nothing is too strange to be sent,
and every request must get an answer that is no failure of the server, or the end of the connection.
"""

import asyncio
import json
from random import Random
from typing import Any, Final

import msgspec

from tests.fuzz import mutations

ANSWER_SECONDS: Final = 30.0
_OK, _SWITCHED, _UNAVAILABLE, _FAILED = 200, 101, 503, 500
_MAY_BE_UNAVAILABLE: Final = ("/ready", "/health")
_PAGES: Final = ("/health", "/live", "/ready", "/metrics", "/", "/docs", "/chat", "/openapi.json", "/asyncapi.json")
_METHODS: Final = ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", "FOO", "")
_STRANGE: Final = ("", "0", "-1", "null", "%00", "%ff", "..%2f", "a" * 300, "%F0%9F%95%AF", "{}", "'", "1e9", "%", "+")
_ORIGINS: Final = (
    "null",
    "http://[",
    "http://localhost",
    "https://evil.example",
    "http://[::1]:80",
    "chrome-extension://a",
    "\xff",
)
_TYPES: Final = (
    "application/json",
    "application/json; charset=utf-8",
    "text/plain",
    "application/xml",
    "",
    "a/b/c",
    ";",
)
_BODIES: Final[tuple[object, ...]] = (
    {"name": "fuzz", "spirit": False},
    {"name": "fuzz", "max_users": 3, "presence": "summary", "multiple_connections": True},
    {"text": "hello", "user_name": "A server", "is_spirit": True, "id": "once"},
    {"type": "user_typing", "user_name": "A server"},
    {"name": "\u202e", "max_users": 0},
    {"jti": "a", "sub": "b"},
    {"text": "x" * 501},
    [],
    None,
)
_UPGRADE: Final = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class FailedRequestError(AssertionError):
    """An answer that must not be; the message has the request."""


class Known(msgspec.Struct, frozen=True):
    """What is right for some request."""

    paths: list[tuple[str, str]]
    """Methods and path templates of all operations."""
    session_ids: list[str]
    tokens: list[str]


class Request(msgspec.Struct, frozen=True):
    """The bytes of a request; `is_whole`: its head and body are framed as RFC 9112 says."""

    method: str
    path: str
    data: bytes
    is_whole: bool


def operations(openapi: dict[str, Any]) -> list[tuple[str, str]]:
    """Every method and path of the document."""
    return [(method.upper(), path) for path, each in openapi["paths"].items() for method in each if method in _HTTP]


_HTTP: Final = frozenset({"get", "post", "put", "patch", "delete"})


def request(random: Random, known: Known) -> Request:
    """A random request."""
    method, path = random.choice([*known.paths, ("GET", "/ws/{session_id}"), ("GET", random.choice(_PAGES))])
    if random.random() < 0.1:
        method = random.choice(_METHODS)
    is_upgrade = path.startswith("/ws") and random.random() < 0.8
    path = _filled(random, path, known) + _query(random)
    body = _body(random) if method in {"POST", "PUT", "PATCH"} or random.random() < 0.05 else b""
    headers = {"Host": "localhost", **(_UPGRADE if is_upgrade else {}), **_headers(random, known)}
    if random.random() < 0.05:
        headers.pop(random.choice(list(headers)))
    data = body
    if body and random.random() < 0.1:
        headers["Transfer-Encoding"] = "chunked"
        data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    elif body or random.random() < 0.05:
        headers["Content-Length"] = str(len(body))
    lines = (f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", "")
    head = "\r\n".join(lines).encode("latin-1", errors="replace")
    if random.random() < 0.85:
        return Request(method, path, head + data, is_whole=not is_upgrade and bool(method))
    mutated = bytearray(head + data[:1000])
    for _ in range(random.randint(1, 4)):
        mutations.mutate(random, mutated)
    return Request(method, path, bytes(mutated), is_whole=False)


def _filled(random: Random, path: str, known: Known) -> str:
    parts = []
    for part in path.split("/"):
        if not part.startswith("{"):
            parts.append(part)
        elif random.random() < 0.7:
            parts.append(random.choice(known.session_ids))
        else:
            parts.append(random.choice(_STRANGE))
    return "/".join(parts)


def _query(random: Random) -> str:
    if random.random() < 0.6:
        return ""
    names = ("before", "after", "limit", "ack", "ban_address", "limit", "x", "%00")
    values = ("1", "50", "persisted", "true", *_STRANGE)
    return "?" + "&".join(f"{random.choice(names)}={random.choice(values)}" for _ in range(random.randint(1, 3)))


def _headers(random: Random, known: Known) -> dict[str, str]:
    possible = {
        "Content-Type": random.choice(_TYPES) if random.random() < 0.2 else "application/json",
        "Authorization": random.choice(
            (f"Bearer {random.choice(known.tokens)}", "Bearer a.b.c", "Bearer", "Basic YTpi", "bearer  x", "\xff")
        ),
        "Idempotency-Key": random.choice(("order-17", "x" * 300, "", "\xe9", "4d1c3f0e-2a4b-4f3e-9d0c-6a1b2c3d4e5f")),
        "X-Request-ID": random.choice(("abc", "", "x" * 200, "a b", "\x01")),
        "Origin": random.choice(_ORIGINS),
        "X-Forwarded-For": random.choice(("1.2.3.4", "::1", "[", "a, b, c", "1.2.3.4, 5.6.7.8", "")),
        "Accept": random.choice(("*/*", "application/json", "text/html;q=x", "")),
        "Access-Control-Request-Method": random.choice(("POST", "FOO", "")),
        "Cookie": "a=b; " * random.randint(1, 50),
        "If-None-Match": random.choice(("*", '"a"', "W/", "a" * 100)),
        "Connection": random.choice(("close", "keep-alive", "Upgrade", "")),
    }
    return {name: value for name, value in possible.items() if random.random() < 0.3 or name == "Content-Type"}


def _body(random: Random) -> bytes:
    dice = random.random()
    if dice < 0.03:
        return b" " * random.choice((65_537, 70_000, 200_000))
    if dice < 0.1:
        return random.randbytes(random.randint(0, 200))
    body = bytearray(json.dumps(random.choice(_BODIES)).encode())
    for _ in range(random.choice((0, 0, 1, 3))):
        mutations.mutate(random, body)
    return bytes(body)


class Requester:
    """Sends requests, several on one connection where the answers allow that."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, asked: Request) -> int:
        """The status of the answer; 0 when the gateway only ended the connection. Raises FailedRequestError."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, body = await self._exchange(asked)
        except TimeoutError:
            raise FailedRequestError(f"no answer within {ANSWER_SECONDS:g} s: {asked}") from None
        is_allowed = status < _FAILED or (status == _UNAVAILABLE and asked.path.startswith(_MAY_BE_UNAVAILABLE))
        if not is_allowed:
            raise FailedRequestError(f"{status} {body[:500]!r}: {asked}")
        if asked.is_whole and asked.path.startswith("/api/") and asked.method in {"GET", "POST", "DELETE"}:
            _check_envelope(asked, status, body)
        return status

    def close(self) -> None:
        """Cut the connection."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _exchange(self, asked: Request) -> tuple[int, bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
        self._writer.write(asked.data)
        if not asked.is_whole:
            self._writer.write_eof()
        try:
            status, headers = await _head(self._reader)
            body = await self._read_body(asked, status, headers)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.close()
            return 0, b""
        if not asked.is_whole or headers.get("connection") == "close":
            self.close()
        return status, body

    async def _read_body(self, asked: Request, status: int, headers: dict[str, str]) -> bytes:
        assert self._reader is not None
        if asked.method == "HEAD" or status in {_SWITCHED, 204, 304}:
            return b""
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readuntil(b"\r\n")
            return body
        body = await self._reader.read()
        self.close()
        return body


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    while True:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        if status >= _OK or status == _SWITCHED:
            return status, dict(line.lower().split(": ", 1) for line in lines if ": " in line)


def _check_envelope(asked: Request, status: int, body: bytes) -> None:
    if status == 0:
        return
    try:
        answer = msgspec.json.decode(body)
        is_right = answer["success"] is (status < 400) and answer["meta"]["request_id"]
    except (msgspec.DecodeError, KeyError, TypeError):
        is_right = False
    if not is_right:
        raise FailedRequestError(f"{status} without the envelope: {body[:500]!r}: {asked}")
