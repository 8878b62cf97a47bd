"""What surrounds every request: ids, headers, CORS, limits, unknown paths, faults, servers that are away."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import Message
from structlog.testing import capture_logs

from broker.errors import BrokerError
from gateway.rest.services import Services
from tests.unit.gateway.rest.conftest import SESSION, application

JSON = {"Content-Type": "application/json"}


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


def error(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body["success"] is False
    assert body["data"] is None
    assert body["meta"]["request_id"] == response.headers["X-Request-ID"]
    return response.status_code, body["error"]["code"]


@pytest.mark.parametrize("path", ["/live", "/docs", "/api/nothing", "/api/sessions/x", "/openapi.json"])
async def test_every_answer_has_headers(client: httpx.AsyncClient, path: str) -> None:
    """Every answer echoes the request id and is neither sniffed nor kept by the browser."""
    response = await client.get(path, headers={"X-Request-ID": "my request"})
    assert response.headers["X-Request-ID"] == "my request"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


async def test_log_lines_carry_the_request_id(client: httpx.AsyncClient) -> None:
    """A refusal is logged once, with its request, status and code."""
    with capture_logs() as lines:
        await client.get("/api/nothing", headers={"X-Request-ID": "r1"})
    (line,) = lines
    assert line == {
        "event": "request.refused",
        "log_level": "info",
        "method": "GET",
        "path": "/api/nothing",
        "status": 404,
        "code": "not_found",
        "reason": "there is nothing under this path",
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api"),
        ("GET", "/api/sessions/"),
        ("POST", "/api/session"),
        ("GET", f"/api/sessions/{SESSION}/nothing"),
        ("DELETE", f"/api/sessions/{SESSION}/users/"),
        ("GET", "/api/sessions/a/b/c/d"),
        ("GET", "/%00"),
    ],
)
async def test_unknown_path(client: httpx.AsyncClient, method: str, path: str) -> None:
    """An unknown path is `not_found`, with a trailing slash too."""
    assert error(await client.request(method, path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/sessions", "OPTIONS, POST"),
        ("PUT", f"/api/sessions/{SESSION}", "DELETE, GET, HEAD, OPTIONS"),
        ("PATCH", f"/api/sessions/{SESSION}/messages", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
    ],
)
async def test_unknown_method(client: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
    """A method that the path does not know is refused, and `Allow` names those that it knows."""
    response = await client.request(method, path)
    assert error(response) == (405, "method_not_allowed")
    assert response.headers["Allow"] == allow


async def test_options(client: httpx.AsyncClient) -> None:
    """OPTIONS says what a path allows."""
    response = await client.options("/api/sessions")
    assert (response.status_code, response.headers["Allow"], response.content) == (204, "OPTIONS, POST", b"")


async def test_declared_length(client: httpx.AsyncClient) -> None:
    """A body whose declared length is over the limit is refused, on any path."""
    for path in ("/api/sessions", "/api/nothing"):
        response = await client.post(path, content=b" " * 2049, headers=JSON)
        assert error(response) == (413, "payload_too_large")


async def test_absurd_length(client: httpx.AsyncClient) -> None:
    """A declared length of many digits is refused as too large."""
    response = await client.post("/api/sessions", content=b"{}", headers={**JSON, "Content-Length": "9" * 5000})
    assert error(response) == (413, "payload_too_large")


async def test_length_of_chunks(client: httpx.AsyncClient) -> None:
    """A body in chunks is refused once it grows over the limit."""
    response = await client.post("/api/sessions", content=chunks(3, 1000), headers=JSON)
    assert error(response) == (413, "payload_too_large")


async def test_length_at_the_limit(client: httpx.AsyncClient) -> None:
    """A body of exactly the limit is read."""
    response = await client.post("/api/sessions", content=b" " * 2048, headers=JSON)
    assert error(response) == (400, "malformed_json")


async def test_allowed_origin(client: httpx.AsyncClient) -> None:
    """A page of an allowed origin may read the answer and its headers, errors too."""
    response = await client.get("/api/nothing", headers={"Origin": "https://b.example"})
    assert response.headers["Access-Control-Allow-Origin"] == "https://b.example"
    assert "X-Request-ID" in response.headers["Access-Control-Expose-Headers"]


async def test_forbidden_origin(client: httpx.AsyncClient) -> None:
    """A page of another origin may not."""
    response = await client.get("/live", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_preflight(client: httpx.AsyncClient) -> None:
    """A browser is told that it may send our methods and headers, but only from an allowed origin."""
    asked = {
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,x-request-id",
    }
    good = await client.options("/api/sessions", headers={**asked, "Origin": "https://chat.example"})
    assert (good.status_code, good.headers["Access-Control-Allow-Origin"]) == (200, "https://chat.example")
    bad = await client.options("/api/sessions", headers={**asked, "Origin": "https://evil.example"})
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "cors_refused")
    assert bad.json()["error"]["message"] == "Disallowed CORS origin"
    assert bad.headers["X-Request-ID"] == bad.json()["meta"]["request_id"]
    assert "Access-Control-Allow-Origin" not in bad.headers


async def boom(_: Request) -> StreamingResponse:
    raise ZeroDivisionError("secret detail")


async def boom_late(_: Request) -> StreamingResponse:
    async def content() -> AsyncIterator[bytes]:
        yield b"some"
        raise ZeroDivisionError("secret detail")

    return StreamingResponse(content())


async def out_of_memory(_: Request) -> StreamingResponse:
    raise BrokerError("OOM command not allowed when used memory > 'maxmemory'")


@pytest.fixture
def faulty(offline: Services) -> Starlette:
    """The application with routes that fail."""
    app = application(offline)
    app.router.routes += [Route("/boom", boom), Route("/boom/late", boom_late), Route("/memory", out_of_memory)]
    return app


async def test_redis_refuses(faulty: Starlette) -> None:
    """An error reply of Redis is told as unavailable, and logged with its words."""
    transport = httpx.ASGITransport(faulty)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with capture_logs() as lines:
            response = await client.get("/memory")
    assert error(response) == (503, "unavailable")
    assert "OOM" not in response.text
    assert [line["event"] for line in lines] == ["redis.refused", "request.refused"]
    assert "OOM" in lines[0]["reason"]


async def test_fault(faulty: Starlette) -> None:
    """The unexpected answers 500 without leaking anything, and is logged with its traceback and request."""
    transport = httpx.ASGITransport(faulty)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with capture_logs() as lines:
            response = await client.get("/boom", headers={"Origin": "https://b.example"})
    assert error(response) == (500, "internal_error")
    assert "secret" not in response.text
    assert response.headers["Access-Control-Allow-Origin"] == "https://b.example"
    (line,) = lines
    assert (line["event"], line["path"], line["exc_info"]) == ("request.failed", "/boom", True)


async def test_late_fault(faulty: Starlette) -> None:
    """A fault after the answer has begun reaches the server, which cuts the connection."""
    transport = httpx.ASGITransport(faulty)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with pytest.raises(ZeroDivisionError):
            await client.get("/boom/late")


async def test_client_goes_away(app: Starlette) -> None:
    """A client that goes away in the middle of its body is no fault, and gets no answer."""
    sent: list[Message] = []
    incoming = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/sessions",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    with capture_logs() as lines:
        await app(scope, receive, send)
    assert sent == []
    assert [line["event"] for line in lines] == ["request.abandoned"]


async def test_other_protocols_pass(app: Starlette) -> None:
    """What is not HTTP is handed on untouched."""
    sent: list[Message] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/ws/nothing", "headers": [], "query_string": b""}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/sessions", {"name": "Ana"}),
        ("POST", "/api/sessions", {"name": "Ana", "password": "open sesame"}),
        ("GET", f"/api/sessions/{SESSION}", None),
        ("DELETE", f"/api/sessions/{SESSION}", None),
        ("GET", f"/api/sessions/{SESSION}/messages", None),
        ("POST", f"/api/sessions/{SESSION}/messages", {"text": "hi"}),
        ("GET", f"/api/sessions/{SESSION}/users", None),
        ("DELETE", f"/api/sessions/{SESSION}/users/{SESSION}", None),
        ("POST", f"/api/sessions/{SESSION}/events", {"type": "user_typing"}),
    ],
)
async def test_servers_away(
    client: httpx.AsyncClient, host: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    """While a server is away, what needs it answers 503 with the time to wait."""
    response = await client.request(method, path, json=body, headers=host)
    assert error(response) == (503, "unavailable")
    assert response.headers["Retry-After"] == "2"


async def test_idempotency_needs_redis(client: httpx.AsyncClient) -> None:
    """A key can't be honoured while Redis is away, so nothing is created."""
    response = await client.post("/api/sessions", json={"name": "Ana"}, headers={"Idempotency-Key": "k"})
    assert error(response) == (503, "unavailable")
    assert "Redis" in response.json()["error"]["message"]
