"""A REST client for tests: one session at a time, and its host."""

from typing import Any

import httpx

Json = dict[str, Any]


class Rest:
    """Requests to one gateway; every answer is checked for its envelope."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(
        self, method: str, path: str, status: int, body: Json | None = None, *, token: str | None = None
    ) -> Json:
        """The `data` of an answer with this status, or its `error`."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        response = await self._client.request(method, path, json=body, headers=headers)
        assert response.status_code == status, response.text
        envelope = response.json()
        assert envelope.keys() == {"success", "data", "error", "meta"}
        assert envelope["meta"].keys() == {"timestamp", "request_id"}
        assert envelope["success"] is (status < 400)
        found: Json = envelope["data"] if status < 400 else envelope["error"]
        return found

    async def create(self, **fields: object) -> Json:
        """A new session, with its host token."""
        return await self.ask("POST", "/api/sessions", 201, {"name": "Table", **fields})
