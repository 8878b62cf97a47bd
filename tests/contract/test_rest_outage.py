"""REST while a server is away: what needs it answers 503 with the time to wait, the rest goes on."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import pytest

from cluster.process.ports import free_port
from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.contract.rest_client import Json, Rest
from tests.gateways import SECRET, Gateway, running_gateways
from tests.services import Services
from tests.waiting import until


@pytest.fixture(scope="module")
def without_database(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that reaches Redis only."""
    away = Services(services.redis_url, f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    with running_gateways(away, tmp_path_factory.mktemp("no-database"), db_timeout_seconds=1) as (gateway,):
        yield gateway


@pytest.fixture(scope="module")
def without_redis(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that reaches Postgres only; it answers, but it is not ready."""
    away = Services(f"redis://127.0.0.1:{free_port()}/0", services.database_url)
    with running_gateways(away, tmp_path_factory.mktemp("no-redis"), wait=False) as (gateway,):
        until(lambda: is_live(gateway), what=f"an answer of {gateway.url}")
        yield gateway


def is_live(gateway: Gateway) -> bool:
    try:
        return httpx.get(f"{gateway.url}/live").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
async def sound(gateway_url: str) -> AsyncIterator[Rest]:
    """The API of a gateway that reaches everything."""
    async with httpx.AsyncClient(base_url=gateway_url) as client:
        yield Rest(client)


@pytest.fixture
async def session(sound: Rest) -> Json:
    """A session that is hot in Redis and stored in Postgres."""
    return await sound.create(spirit=False)


async def assert_unavailable(client: httpx.AsyncClient, method: str, path: str, body: Json | None, token: str) -> None:
    response = await client.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0


async def test_without_database(without_database: Gateway, session: Json, sound: Rest) -> None:
    """Without Postgres nothing is created and no history read, but a live session goes on, and it can be closed."""
    path, token = f"/api/sessions/{session['id']}", session["host_token"]
    cold = f"/api/sessions/{uuid4()}"
    async with httpx.AsyncClient(base_url=without_database.url) as client:
        await assert_unavailable(client, "POST", "/api/sessions", {"name": "Table"}, token)
        await assert_unavailable(client, "GET", f"{path}/messages", None, token)
        await assert_unavailable(client, "GET", cold, None, token)
        await assert_unavailable(client, "GET", f"{cold}/users", None, token)

        rest = Rest(client)
        assert (await rest.ask("GET", path, 200))["id"] == session["id"]
        assert await rest.ask("GET", f"{path}/users", 200) == {"users": [], "user_count": 0}
        assert (await rest.ask("POST", f"{path}/messages", 202, {"text": "hi"}, token=token))["seq"] == 1
        await rest.ask("POST", f"{path}/events", 202, {"type": "user_typing"}, token=token)
        assert (await rest.ask("DELETE", path, 200, token=token))["is_active"] is False

        health = await client.get("/health")
        assert health.status_code == 503
        assert health.json()["status"] == "degraded"
        assert (health.json()["database"], health.json()["redis"]) == ("down", "up")
        assert (await client.get("/ready")).status_code == 200
    assert (await sound.ask("GET", path, 200))["is_active"] is False


async def test_without_redis(without_redis: Gateway, session: Json) -> None:
    """Without Redis nothing live is answered, but history can be read and sessions can be created."""
    path, token = f"/api/sessions/{session['id']}", session["host_token"]
    async with httpx.AsyncClient(base_url=without_redis.url) as client:
        await assert_unavailable(client, "GET", path, None, token)
        await assert_unavailable(client, "GET", f"{path}/users", None, token)
        await assert_unavailable(client, "POST", f"{path}/messages", {"text": "hi"}, token)
        await assert_unavailable(client, "POST", f"{path}/events", {"type": "user_typing"}, token)
        await assert_unavailable(client, "DELETE", f"{path}/users/{uuid4()}", None, token)
        await assert_unavailable(client, "DELETE", path, None, token)

        rest = Rest(client)
        tokens = Tokens(SECRET, 60)
        user = tokens.create_access_token(Claims.user(session["id"], str(uuid4()), "Ana"))
        for reader in (None, user):
            assert (await rest.ask("GET", f"{path}/messages", 200, token=reader))["items"] == []
        await rest.ask("GET", f"/api/sessions/{uuid4()}/messages", 404)
        created = await rest.create()
        keyed = await client.post("/api/sessions", json={"name": "T"}, headers={"Idempotency-Key": str(uuid4())})
        assert keyed.status_code == 503

        health = await client.get("/health")
        assert health.status_code == 503
        assert (health.json()["database"], health.json()["redis"]) == ("up", "down")
        ready = await client.get("/ready")
        assert ready.status_code == 503
        assert ready.json() == {"status": "unready", "reason": "Redis can't be reached"}
        assert (await client.get("/live")).status_code == 200
    assert created["is_active"] is True


async def test_created_without_redis(without_redis: Gateway, sound: Rest) -> None:
    """A session that was created while Redis was away works as soon as a gateway reaches Redis."""
    async with httpx.AsyncClient(base_url=without_redis.url) as client:
        created = await Rest(client).create()
    token = created.pop("host_token")
    path = f"/api/sessions/{created['id']}"
    assert await sound.ask("GET", path, 200) == created
    assert (await sound.ask("POST", f"{path}/messages", 202, {"text": "hi"}, token=token))["seq"] > 0


async def test_key_of_a_failed_request(without_database: Gateway, gateway_url: str) -> None:
    """A creation that failed for want of Postgres succeeds when it is repeated with its key."""
    headers, body = {"Idempotency-Key": str(uuid4())}, {"name": "Table"}
    async with httpx.AsyncClient() as client:
        failed = await client.post(f"{without_database.url}/api/sessions", json=body, headers=headers)
        assert failed.status_code == 503
        first, second = [await client.post(f"{gateway_url}/api/sessions", json=body, headers=headers) for _ in range(2)]
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["data"]["id"] == second.json()["data"]["id"]
