"""Sessions over REST, for tests."""

from typing import Any

import httpx

Json = dict[str, Any]


async def create_session(url: str, **fields: object) -> Json:
    """A new session (without a spirit, unless asked for), with its `host_token`."""
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/sessions", json={"name": "test", "spirit": False, **fields})
    assert answer.status_code == 201, answer.text
    created: Json = answer.json()["data"]
    return created


async def call(url: str, method: str, path: str, *, token: str | None = None, body: object = None) -> httpx.Response:
    """One request with a token."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url) as client:
        return await client.request(method, path, headers=headers, json=body)


async def users(url: str, session_id: str, *, token: str | None = None) -> list[str]:
    """The names of who is present."""
    answer = await call(url, "GET", f"/api/sessions/{session_id}/users", token=token)
    return [user["name"] for user in answer.json()["data"]["users"]]
