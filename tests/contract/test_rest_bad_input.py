"""Wrong REST input: every row of the table gets its exact answer, and neither the session nor the gateway is harmed."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.contract.bad_rest_inputs import TABLE, Bad, host


@pytest.fixture
async def client(gateway_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway_url) as client:
        yield client


@pytest.fixture
async def session(client: httpx.AsyncClient) -> dict[str, Any]:
    """A session as it is before the wrong request."""
    created = await client.post("/api/sessions", json={"name": "table"})
    found = await client.get(created.headers["Location"])
    data: dict[str, Any] = found.json()["data"]
    return data


def test_the_table_is_long() -> None:
    """At least 40 wrong inputs are tried."""
    assert len(TABLE) >= 40


@pytest.mark.parametrize("bad", TABLE.values(), ids=TABLE)
async def test_bad_input(client: httpx.AsyncClient, session: dict[str, Any], bad: Bad) -> None:
    """A wrong request gets exactly its status, code and fields; nothing happened, and the session goes on."""
    session_id = session["id"]
    headers = [*bad.headers, ("X-Request-ID", "table")]
    if bad.token is not None:
        headers.append(("Authorization", f"Bearer {bad.token(session_id)}"))
    content = bad.content() if callable(bad.content) else bad.content
    response = await client.request(bad.method, bad.path.replace("{id}", session_id), content=content, headers=headers)
    body = response.json()
    error = body["error"]
    assert (response.status_code, error["code"]) == (bad.status, bad.code)
    assert [detail["field"] for detail in error["details"]] == bad.fields
    assert error["message"]
    assert all(detail["message"] for detail in error["details"])
    assert (body["success"], body["data"], body["meta"]["request_id"]) == (False, None, "table")
    assert response.headers["X-Request-ID"] == "table"
    assert ("WWW-Authenticate" in response.headers) == (bad.status == 401)
    assert ("Allow" in response.headers) == (bad.status == 405)

    found = await client.get(f"/api/sessions/{session_id}")
    assert found.json()["data"] == session
    published = await client.post(
        f"/api/sessions/{session_id}/messages",
        json={"text": "still here"},
        headers={"Authorization": f"Bearer {host(session_id)}"},
    )
    assert published.json()["data"]["seq"] == 1


async def test_gateway_is_unharmed(client: httpx.AsyncClient) -> None:
    """After the table the gateway is healthy and ready."""
    assert (await client.get("/health")).json()["status"] == "ok"
    assert (await client.get("/ready")).status_code == 200
