"""Path ids, queries, keys and tokens of requests, all checked before Redis or Postgres is asked."""

import time
from typing import Any

import httpx
import jwt
import pytest

from gateway.access.authority import Anonymous
from gateway.access.claims import Claims
from gateway.rest.routes import OPERATIONS
from gateway.rest.services import Services
from tests.unit.gateway.rest.conftest import SECRET, SESSION

OTHER = "22222222-2222-4222-8222-222222222222"
MESSAGES = f"/api/sessions/{SESSION}/messages"
CLAIMS = {
    "host": Claims.host(SESSION),
    "other host": Claims.host(OTHER),
    "publisher": Claims.publish(SESSION),
    "other publisher": Claims.publish(OTHER),
    "publisher anywhere": Claims.publish(),
    "user": Claims.user(SESSION, OTHER, "Ana"),
    "joiner": Claims(scope="sessions:join", name="Ana"),
    "creator": Claims(scope="sessions:create"),
    "spirit": Claims(scope="spirit", session_id=SESSION),
    "other spirit": Claims(scope="spirit", session_id=OTHER),
    "admin": Claims(scope="admin"),
}
PUBLISHERS = {"host", "publisher", "publisher anywhere", "spirit", "admin"}
REVOKE = "/api/tokens/revoke"
GUARDED = [
    ("POST", REVOKE, {"admin"}),
    ("POST", MESSAGES, PUBLISHERS),
    ("POST", f"/api/sessions/{SESSION}/events", PUBLISHERS),
    ("DELETE", f"/api/sessions/{SESSION}", {"host", "admin"}),
    ("DELETE", f"/api/sessions/{SESSION}/users/{OTHER}", {"host", "admin"}),
]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def told(response: httpx.Response) -> tuple[int, str, list[str]]:
    error = response.json()["error"]
    return response.status_code, error["code"], [detail["field"] for detail in error["details"]]


@pytest.mark.parametrize(("method", "path", "allowed"), GUARDED)
@pytest.mark.parametrize("holder", CLAIMS)
async def test_only_the_right_scope_and_session_pass(
    client: httpx.AsyncClient, offline: Services, *, method: str, path: str, allowed: set[str], holder: str
) -> None:
    """A token of the right scope and session passes; any other genuine token gets 403."""
    token = offline.tokens.create_access_token(CLAIMS[holder])
    response = await client.request(method, path, headers=bearer(token))
    if holder in allowed:
        assert response.status_code in {415, 503}
    else:
        assert told(response) == (403, "forbidden", [])


@pytest.mark.parametrize(("method", "path", "_"), GUARDED)
@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "needs a token"),
        ("", "expected one header"),
        ("Basic dXNlcjpwYXNz", "expected one header"),
        ("Bearer", "malformed"),
        ("Bearer  ", "malformed"),
        ("Bearer abc", "malformed"),
        ("Bearer a.b.c", "malformed"),
    ],
)
async def test_a_request_without_a_valid_token_gets_401(
    client: httpx.AsyncClient, method: str, path: str, _: set[str], header: str | None, message: str
) -> None:
    """Without a valid token the answer is 401 with a challenge."""
    headers = {} if header is None else {"Authorization": header}
    response = await client.request(method, path, headers=headers)
    assert told(response) == (401, "unauthorized", [])
    assert message in response.json()["error"]["message"]
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="seance"')


async def test_the_bearer_scheme_matches_in_any_case(client: httpx.AsyncClient, offline: Services) -> None:
    """The scheme's case does not matter (RFC 9110)."""
    token = offline.tokens.create_access_token(CLAIMS["host"])
    assert (await client.post(MESSAGES, headers={"Authorization": f"bEARER {token}"})).status_code == 415


async def test_two_tokens_are_refused(client: httpx.AsyncClient, offline: Services) -> None:
    """Two tokens are refused as ambiguous."""
    header = ("Authorization", f"Bearer {offline.tokens.create_access_token(CLAIMS['host'])}")
    assert told(await client.post(MESSAGES, headers=[header, header])) == (401, "unauthorized", [])


async def test_an_expired_token_has_its_own_message(client: httpx.AsyncClient) -> None:
    """The message for an expired token differs from that for a wrong one."""
    now = int(time.time())
    claims = {"iss": "seance", "iat": now - 90, "exp": now - 60, "scope": "host", "sid": SESSION}
    response = await client.delete(f"/api/sessions/{SESSION}", headers=bearer(jwt.encode(claims, SECRET)))
    assert told(response) == (401, "unauthorized", [])
    assert response.json()["error"]["message"] == "the token has expired"
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


async def test_a_session_id_matches_in_upper_case(client: httpx.AsyncClient, host: dict[str, str]) -> None:
    """A UUID in upper case means the same session, also in the comparison with the token."""
    path = "/api/sessions/AAAAAAAA-1111-4111-8111-111111111111"
    assert (await client.get(path)).status_code == 503
    assert told(await client.delete(path, headers=host)) == (403, "forbidden", [])


@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if "{id}" in operation.path])
@pytest.mark.parametrize("text", ["1", "x" * 200, "%00", SESSION.replace("-", ""), f"{{{SESSION}}}", f"{SESSION}%0a"])
async def test_a_session_id_that_is_no_uuid_is_not_found(client: httpx.AsyncClient, operation: Any, text: str) -> None:
    """Nobody has such a session, as nobody has one with an unknown UUID; over WebSocket the answer is the same."""
    path = operation.path.replace("{id}", text).replace("{user_id}", OTHER)
    assert told(await client.request(operation.method, path)) == (404, "session_not_found", ["id"])


async def test_a_user_id_that_is_no_uuid_is_not_found(client: httpx.AsyncClient) -> None:
    """The user's id is checked like the session's."""
    response = await client.delete(f"/api/sessions/{SESSION}/users/ana")
    assert told(response) == (404, "user_not_found", ["user_id"])


@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if operation.path.startswith("/api")])
async def test_an_unknown_query_parameter_is_refused(
    client: httpx.AsyncClient, operation: Any, admin: dict[str, str]
) -> None:
    """Every operation refuses unknown query parameters."""
    path = operation.path.replace("{id}", SESSION).replace("{user_id}", OTHER)
    response = await client.request(operation.method, path, params={"colour": "red"}, headers=admin)
    assert told(response) == (422, "validation_error", ["colour"])


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("before=1&after=1", ["after"]),
        ("before=0", ["before"]),
        ("after=-1", ["after"]),
        ("before=x&limit=0", ["before", "limit"]),
        ("limit=201", ["limit"]),
        ("limit=", ["limit"]),
        ("limit=5&limit=6", ["limit"]),
        ("before=9007199254740992", ["before"]),
        ("before=null", ["before"]),
    ],
)
async def test_invalid_history_bounds_are_named(
    client: httpx.AsyncClient, query: str, fields: list[str], admin: dict[str, str]
) -> None:
    """Each invalid bound of the history is named."""
    response = await client.get(f"{MESSAGES}?{query}", headers=admin)
    assert told(response) == (422, "validation_error", fields)


async def test_an_unknown_ack_level_is_refused(client: httpx.AsyncClient, host: dict[str, str]) -> None:
    """An unknown `ack` is refused with the allowed values."""
    response = await client.post(f"{MESSAGES}?ack=stored", json={"text": "hi"}, headers=host)
    assert told(response) == (422, "validation_error", ["ack"])
    assert response.json()["error"]["details"][0]["message"] == "ack must be `accepted` or `persisted`"


@pytest.mark.parametrize("keys", [[""], ["x" * 256], ["é"], ["a\tb"], ["a", "a"]])
async def test_an_invalid_idempotency_key_is_refused(client: httpx.AsyncClient, keys: list[str]) -> None:
    """A key must be one value of printable ASCII."""
    headers = [(b"Idempotency-Key", key.encode("latin-1")) for key in keys]
    response = await client.post("/api/sessions", json={"name": "Ana"}, headers=headers)
    assert told(response) == (422, "validation_error", ["Idempotency-Key"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/problem+json"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "json"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json"}, 503),
        ({"Content-Type": 'APPLICATION/JSON ; Charset="UTF-8"'}, 503),
        ({"Content-Type": "application/json;charset=utf8", "Content-Encoding": "identity"}, 503),
    ],
)
async def test_only_uncompressed_utf_8_json_is_read(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    """Only uncompressed JSON in UTF-8 is read."""
    response = await client.post("/api/sessions", content=b'{"name": "Ana"}', headers=headers)
    assert response.status_code == status


def test_the_tables_cover_every_guarded_operation() -> None:
    """The tables above cover every operation that needs a token."""
    guarded = {
        (operation.method, operation.path)
        for operation in OPERATIONS
        if operation.permission is not None and operation.permission.anonymous is Anonymous.NOBODY
    }
    tried = {(method, path.replace(SESSION, "{id}").replace(OTHER, "{user_id}")) for method, path, _ in GUARDED}
    assert guarded == tried
