"""The middleware of every request: ids, headers, CORS, limits, unknown paths, exceptions, servers that are down."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import Message
from structlog.testing import capture_logs

from broker.errors import BrokerError
from gateway.rest.services import Services
from persistence.errors import mapped
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
    """Every answer echoes the request id, and forbids sniffing and caching."""
    response = await client.get(path, headers={"X-Request-ID": "my request"})
    assert response.headers["X-Request-ID"] == "my request"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


async def test_log_lines_carry_the_request_id(client: httpx.AsyncClient) -> None:
    """A refusal is logged once, with its request id, status and code."""
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


async def test_a_refusal_is_logged_with_the_wrong_fields(client: httpx.AsyncClient) -> None:
    """The log names the fields, as the answer does, and no value."""
    with capture_logs() as lines:
        await client.post("/api/sessions", json={"max_users": 0, "nonsense": "secret"})
    (line,) = lines
    assert line["fields"] == ["name", "max_users", "nonsense"]
    assert "secret" not in str(line)


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
async def test_an_unknown_path_gets_404(client: httpx.AsyncClient, method: str, path: str) -> None:
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
async def test_an_unknown_method_gets_405(client: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
    """A method that the path does not have is refused, and `Allow` names its methods."""
    response = await client.request(method, path)
    assert error(response) == (405, "method_not_allowed")
    assert response.headers["Allow"] == allow


async def test_options_names_the_allowed_methods(client: httpx.AsyncClient) -> None:
    """OPTIONS names the methods of a path."""
    response = await client.options("/api/sessions")
    assert (response.status_code, response.headers["Allow"], response.content) == (204, "OPTIONS, POST", b"")


async def test_a_body_declared_too_large_is_refused(client: httpx.AsyncClient) -> None:
    """A body whose declared length is over the limit is refused, on any path."""
    for path in ("/api/sessions", "/api/nothing"):
        response = await client.post(path, content=b" " * 2049, headers=JSON)
        assert error(response) == (413, "payload_too_large")


async def test_a_length_of_many_digits_is_refused(client: httpx.AsyncClient) -> None:
    """A declared length of many digits is refused as too large."""
    response = await client.post("/api/sessions", content=b"{}", headers={**JSON, "Content-Length": "9" * 5000})
    assert error(response) == (413, "payload_too_large")


async def test_a_chunked_body_over_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    """A chunked body is refused once it grows over the limit."""
    response = await client.post("/api/sessions", content=chunks(3, 1000), headers=JSON)
    assert error(response) == (413, "payload_too_large")


async def test_a_body_of_exactly_the_limit_is_read(client: httpx.AsyncClient) -> None:
    """A body of exactly the limit is read."""
    response = await client.post("/api/sessions", content=b" " * 2048, headers=JSON)
    assert error(response) == (400, "malformed_json")


async def test_an_allowed_origin_may_read_answers(client: httpx.AsyncClient) -> None:
    """A page of an allowed origin may read the answer and its headers, errors too."""
    response = await client.get("/api/nothing", headers={"Origin": "https://b.example"})
    assert response.headers["Access-Control-Allow-Origin"] == "https://b.example"
    assert "X-Request-ID" in response.headers["Access-Control-Expose-Headers"]


async def test_another_origin_may_not_read_answers(client: httpx.AsyncClient) -> None:
    """A page of another origin may not read the answer."""
    response = await client.get("/live", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_preflight_is_granted_to_allowed_origins_only(client: httpx.AsyncClient) -> None:
    """A preflight from an allowed origin gets the methods and headers; one from another origin is refused."""
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


async def refused_by_postgres(request: Request) -> StreamingResponse:
    with mapped():
        raise {
            "table": asyncpg.UndefinedTableError('relation "sessions" does not exist'),
            "column": asyncpg.UndefinedColumnError('column "spirit" does not exist'),
            "permission": asyncpg.InsufficientPrivilegeError("permission denied for table sessions"),
            "data": asyncpg.NotNullViolationError("secret detail"),
        }[request.path_params["what"]]


async def http_exception(request: Request) -> StreamingResponse:
    raise HTTPException(request.path_params["status"], "why it is so")


@pytest.fixture
def faulty(offline: Services) -> Starlette:
    """The application, with routes that raise."""
    app = application(offline)
    app.router.routes += [Route("/boom", boom), Route("/boom/late", boom_late), Route("/memory", out_of_memory)]
    app.router.routes += [
        Route("/postgres/{what}", refused_by_postgres),
        Route("/status/{status:int}", http_exception),
    ]
    return app


async def test_an_error_reply_of_redis_gets_503(faulty: Starlette) -> None:
    """An error reply of Redis is answered with `unavailable`, and logged with its text."""
    transport = httpx.ASGITransport(faulty)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with capture_logs() as lines:
            response = await client.get("/memory")
    assert error(response) == (503, "unavailable")
    assert "OOM" not in response.text
    assert [line["event"] for line in lines] == ["redis.refused", "request.refused"]
    assert "OOM" in lines[0]["reason"]


@pytest.mark.parametrize(
    ("what", "event"),
    [
        ("table", "database.not_migrated"),
        ("column", "database.not_migrated"),
        ("permission", "database.refused"),
    ],
)
async def test_an_error_reply_of_postgres_gets_503(faulty: Starlette, what: str, event: str) -> None:
    """Missing tables and missing permissions are mended by somebody and pass: the client should come again."""
    transport = httpx.ASGITransport(faulty)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with capture_logs() as lines:
            response = await client.get(f"/postgres/{what}")
    assert error(response) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert ("seance migrate" in response.text) == (event == "database.not_migrated")
    assert "sessions" not in response.json()["error"]["message"]
    assert [line["event"] for line in lines] == [event, "request.refused"]


async def test_values_that_postgres_refuses_are_a_fault_of_ours(faulty: Starlette) -> None:
    """A repetition would not help, so the answer is 500."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(faulty), base_url="http://gateway") as client:
        assert error(await client.get("/postgres/data")) == (500, "internal_error")


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "bad_request", "why it is so"),
        (404, "not_found", "there is nothing under this path"),
        (416, "requested_range_not_satisfiable", "why it is so"),
        (431, "request_header_fields_too_large", "why it is so"),
        (499, "http_499", "why it is so"),
        (501, "not_implemented", "Not Implemented"),
    ],
)
async def test_every_http_exception_keeps_its_status(faulty: Starlette, status: int, code: str, message: str) -> None:
    """Whatever status the framework raises, the answer has it, with the envelope and a code in words."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(faulty), base_url="http://gateway") as client:
        response = await client.get(f"/status/{status}")
    assert error(response) == (status, code)
    assert response.json()["error"]["message"] == message


async def test_an_unexpected_exception_gets_500_and_is_logged(faulty: Starlette) -> None:
    """An unexpected exception gets 500 without its text, and is logged with traceback and request id."""
    transport = httpx.ASGITransport(faulty)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with capture_logs() as lines:
            response = await client.get("/boom", headers={"Origin": "https://b.example"})
    assert error(response) == (500, "internal_error")
    assert "secret" not in response.text
    assert response.headers["Access-Control-Allow-Origin"] == "https://b.example"
    (line,) = lines
    assert (line["event"], line["path"], line["exc_info"]) == ("request.failed", "/boom", True)


async def test_an_exception_after_the_answer_began_reaches_the_server(faulty: Starlette) -> None:
    """An exception after the answer has begun reaches the server, which closes the connection."""
    transport = httpx.ASGITransport(faulty)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with pytest.raises(ZeroDivisionError):
            await client.get("/boom/late")


async def test_a_client_lost_during_its_body_is_no_error(app: Starlette) -> None:
    """A client that disconnects during its body causes no error and gets no answer."""
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


async def test_other_protocols_pass_unchanged(app: Starlette) -> None:
    """Scopes that are not HTTP are passed on unchanged."""
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
async def test_an_unreachable_server_gives_503_with_retry_after(
    client: httpx.AsyncClient, host: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    """While Redis or Postgres is down, operations that need it answer 503 with `Retry-After`."""
    response = await client.request(method, path, json=body, headers=host)
    assert error(response) == (503, "unavailable")
    assert response.headers["Retry-After"] == "2"


async def test_a_key_without_redis_creates_no_session(client: httpx.AsyncClient) -> None:
    """An Idempotency-Key can't be checked while Redis is down, so no session is created."""
    response = await client.post("/api/sessions", json={"name": "Ana"}, headers={"Idempotency-Key": "k" * 22})
    assert error(response) == (503, "unavailable")
    assert "Redis" in response.json()["error"]["message"]
