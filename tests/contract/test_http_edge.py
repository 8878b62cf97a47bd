"""The edge of a gateway: Host, Origin, odd requests, headers of answers, and what production shows to whom."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.gateways import SECRET, Gateway, own_port, running_gateways
from tests.raw_client import KEY
from tests.rest import create_session
from tests.services import Services

Json = dict[str, Any]
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
DEADLINE_SECONDS = 10.0


@pytest.fixture(scope="module")
def public(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with the settings of production, behind a name, with a port for operators."""
    with running_gateways(
        services,
        tmp_path_factory.mktemp("public"),
        environment="production",
        auth_mode="open",
        admin_port=own_port(),
        allowed_hosts="chat.example, *.chat.example",
        cors_origins="https://good.example, null, capacitor://localhost",
    ) as [gateway]:
        yield gateway


@pytest.fixture
async def session_id(gateway_url: str) -> str:
    return str((await create_session(gateway_url))["id"])


def admin_url(gateway: Gateway) -> str:
    """Where the operators' port answers."""
    return f"http://127.0.0.1:{gateway.environment['ADMIN_PORT']}"


async def exchange(gateway: Gateway, request: str, lines: Sequence[str]) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of the answer to exactly these lines; an upgrade is cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write("\r\n".join((request, *lines, "", "")).encode("latin-1"))
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            status, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in rest if line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    finally:
        writer.close()
    return int(status.split()[1]), headers, body.decode()


async def upgraded(gateway: Gateway, session_id: str, *lines: str) -> tuple[int, str]:
    """The status of an upgrade with these headers, and the code of its error."""
    status, _headers, body = await exchange(gateway, f"GET /ws/{session_id} HTTP/1.1", (*lines, *UPGRADE))
    return status, json.loads(body)["error"]["code"] if body else ""


async def test_a_page_of_the_gateways_own_host_may_connect(gateways: list[Gateway], session_id: str) -> None:
    """By default only pages of the same host and port may; a proxy that ends TLS leaves the port out."""
    for host, origin, status in (
        ("chat.example", "https://chat.example", 101),
        ("chat.example", "http://chat.example", 101),
        ("chat.example:80", "http://chat.example", 101),
        ("localhost:8000", "http://localhost:8000", 101),
        ("localhost:8000", "http://localhost:3000", 403),
        ("localhost:8000", "https://evil.example", 403),
        ("localhost:8000", "null", 403),
        ("localhost:8000", "capacitor://localhost", 403),
    ):
        found = await upgraded(gateways[0], session_id, f"Host: {host}", f"Origin: {origin}")
        assert found == (status, "" if status == 101 else "forbidden"), (host, origin)


async def test_listed_origins_may_connect(public: Gateway, session_id: str) -> None:
    """CORS_ORIGINS adds origins, those of apps and of pages without one (`null`) too."""
    for origin, status in (
        ("https://good.example", 101),
        ("https://GOOD.example:443", 101),
        ("null", 101),
        ("capacitor://localhost", 101),
        ("https://chat.example", 101),
        ("http://good.example", 403),
        ("app://.", 403),
        ("https://a.chat.example", 403),
    ):
        found = await upgraded(public, session_id, "Host: chat.example", f"Origin: {origin}")
        assert found[0] == status, origin


ODD_ORIGINS = [
    ("Origin: http://[",),
    ("Origin: ",),
    ("Origin: https://good.example/path",),
    ("Origin: *",),
    ("Origin: https://ch\xe4t.example",),
    ("Origin: https://good.example", "Origin: https://good.example"),
    ("Origin: https://good.example, https://evil.example",),
]


@pytest.mark.parametrize("lines", ODD_ORIGINS, ids=str)
async def test_a_wrong_origin_is_refused(public: Gateway, session_id: str, lines: tuple[str, ...]) -> None:
    """Two origins, or one that can't be parsed, get 403, over REST too."""
    assert await upgraded(public, session_id, "Host: chat.example", *lines) == (403, "forbidden")
    for request in (f"GET /api/sessions/{session_id} HTTP/1.1", "OPTIONS /api/sessions HTTP/1.1"):
        wanted = ("Host: chat.example", "Access-Control-Request-Method: GET", *lines)
        status, headers, body = await exchange(public, request, wanted)
        assert (status, json.loads(body)["error"]["code"]) == (403, "forbidden")
        assert "access-control-allow-origin" not in headers


async def test_only_allowed_hosts_are_served(public: Gateway, session_id: str) -> None:
    """Another Host gets 421, so that no name of an attacker leads to the gateway (DNS rebinding)."""
    evil = (f"Host: evil.example:{public.port}", f"Origin: http://evil.example:{public.port}")
    assert await upgraded(public, session_id, *evil) == (421, "misdirected_request")
    for host, expected in (
        ("chat.example", 200),
        ("Chat.Example:8443", 200),
        ("eu.chat.example", 200),
        (f"127.0.0.1:{public.port}", 421),
        ("evilchat.example", 421),
    ):
        status, _headers, body = await exchange(public, f"GET /api/sessions/{session_id} HTTP/1.1", (f"Host: {host}",))
        assert status == expected, (host, body)


async def test_probes_may_name_an_address(public: Gateway) -> None:
    """A balancer, and a supervisor, name a gateway by its address, or not at all over HTTP/1.0."""
    for request, lines, expected in (
        ("GET /ready HTTP/1.0", (), 200),
        ("GET /live HTTP/1.1", ("Host: 127.0.0.1:8000",), 200),
        ("GET /health HTTP/1.1", ("Host: [::1]",), 200),
        ("GET /live HTTP/1.1", ("Host: evil.example",), 421),
        ("GET /api/sessions HTTP/1.0", (), 421),
    ):
        assert (await exchange(public, request, lines))[0] == expected, request


async def test_a_developers_machine_has_only_local_names(services: Services, tmp_path: Any) -> None:
    """In development on loopback, a name that a page of the internet can have is refused unless it is listed."""
    with running_gateways(services, tmp_path, environment="development") as [gateway]:
        session = await create_session(gateway.url)
        for host, expected in (
            (f"localhost:{gateway.port}", 101),
            (f"127.0.0.1:{gateway.port}", 101),
            ("app.localhost", 101),
            (f"evil.example:{gateway.port}", 421),
        ):
            found = await upgraded(gateway, session["id"], f"Host: {host}", f"Origin: http://{host}")
            assert found[0] == expected, host
        status, _headers, body = await exchange(gateway, "POST /api/sessions HTTP/1.1", ("Host: evil.example",))
        assert status == 421
        assert "ALLOWED_HOSTS" in body.upper()


ODD_REQUESTS: list[tuple[str, tuple[str, ...], int, str]] = [
    ("GET /live HTTP/1.1", (), 400, "malformed_request"),
    ("GET /ws/x HTTP/1.1", UPGRADE, 400, "malformed_request"),
    ("GET /live HTTP/1.1", ("Host: a", "Host: a"), 400, "malformed_request"),
    ("GET /ws/x HTTP/1.1", ("Host: a", "Host: b", *UPGRADE), 400, "malformed_request"),
    ("GET /live HTTP/1.1", ("Host: ",), 400, "malformed_request"),
    ("GET /live HTTP/1.1", ("Host: a b",), 400, "malformed_request"),
    ("GET /ws/x HTTP/1.1", ("Host: a", "Content-Length: 5", *UPGRADE), 400, "malformed_request"),
    ("GET /ws/x HTTP/1.1", ("Host: a", "Transfer-Encoding: chunked", *UPGRADE), 400, "malformed_request"),
    ("GET /ws/x HTTP/1.1", ("Host: a", "Upgrade: websocket", "Connection: Upgrade"), 426, "upgrade_required"),
    ("POST /ws/x HTTP/1.1", ("Host: a", *UPGRADE), 405, "method_not_allowed"),
    ("GET /nothing HTTP/1.1", ("Host: a",), 404, "not_found"),
    ("GET /nothing HTTP/1.1", ("Host: a", *UPGRADE), 404, "not_found"),
    ("GET /live HTTP/1.1", ("Host: a", *UPGRADE), 404, "not_found"),
]


@pytest.mark.parametrize(("request_line", "lines", "status", "code"), ODD_REQUESTS, ids=str)
async def test_an_odd_request_is_refused_in_the_envelope(
    gateways: list[Gateway], request_line: str, lines: tuple[str, ...], status: int, code: str
) -> None:
    """Whatever is wrong with a request, programs read it from JSON, and a browser does nothing with the answer."""
    found, headers, body = await exchange(gateways[0], request_line, lines)
    answer = json.loads(body)
    assert (found, answer["success"], answer["error"]["code"]) == (status, False, code)
    assert headers["x-request-id"] == answer["meta"]["request_id"]
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


OPERATORS = ["/metrics", "/docs", "/docs/rest", "/docs/websocket", "/docs/rest.js", "/openapi.json", "/asyncapi.json"]


async def seen(url: str, path: str, token: str | None = None) -> httpx.Response:
    """An answer to somebody who asks for a path under the public name."""
    headers = {"Host": "chat.example"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"{url}{path}", headers=headers)


@pytest.mark.parametrize("path", OPERATORS)
async def test_production_shows_its_inside_to_operators(public: Gateway, path: str) -> None:
    """On the public port only a token of scope `admin` opens them; ADMIN_PORT needs none."""
    tokens = Tokens(SECRET, 60)
    stranger = await seen(public.url, path)
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (403, "forbidden")
    host = tokens.create_access_token(Claims.host("11111111-1111-4111-8111-111111111111"))
    assert (await seen(public.url, path, host)).status_code == 403
    admin = tokens.create_access_token(Claims(scope="admin"))
    assert (await seen(public.url, path, admin)).status_code == 200
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{admin_url(public)}{path}")).status_code == 200


async def test_production_says_little_of_its_health(public: Gateway) -> None:
    """Everybody learns whether the gateway is well; only operators learn which server is not, and see counts."""
    assert (await seen(public.url, "/health")).json() == {"status": "ok"}
    assert (await seen(public.url, "/health", "nonsense")).json() == {"status": "ok"}
    admin = Tokens(SECRET, 60).create_access_token(Claims(scope="admin"))
    assert (await seen(public.url, "/health", admin)).json()["database"] == "up"
    assert (await seen(admin_url(public), "/health")).json()["redis"] == "up"
    assert (await seen(public.url, "/")).headers["Location"] == "chat"
    assert (await seen(admin_url(public), "/")).headers["Location"] == "docs"


async def test_development_shows_everything(gateway_url: str) -> None:
    """Outside production the references and metrics need no token."""
    async with httpx.AsyncClient(trust_env=False, base_url=gateway_url) as client:
        assert {(await client.get(path)).status_code for path in OPERATORS} == {200}


async def test_a_taken_admin_port_ends_the_gateway(services: Services, public: Gateway, tmp_path: Any) -> None:
    """A gateway that can't listen on ADMIN_PORT ends and says why."""
    taken = public.environment["ADMIN_PORT"]
    with running_gateways(services, tmp_path, wait=False, admin_port=taken) as [gateway]:
        assert gateway.wait() == 1
        assert "gateway.admin_port_taken" in gateway.said()
