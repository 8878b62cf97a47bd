"""The REST API of real gateways: what it promises, and what the people in the sessions see of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from redis import Redis

from broker.keys import Keys
from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.contract.rest_client import Json, Rest
from tests.gateways import SECRET, Gateway
from tests.raw_client import connected
from tests.services import Services
from tests.waiting import eventually

KEYS = Keys("seance", 16)
DEADLINE_SECONDS = 10.0


@pytest.fixture
async def client(gateway_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway_url, timeout=DEADLINE_SECONDS) as client:
        yield client


@pytest.fixture
def rest(client: httpx.AsyncClient) -> Rest:
    """The API of the first gateway."""
    return Rest(client)


@pytest.fixture
async def elsewhere(gateways: list[Gateway]) -> AsyncIterator[Rest]:
    """The API of another gateway."""
    async with httpx.AsyncClient(base_url=gateways[1].url) as client:
        yield Rest(client)


def bearer(claims: Claims) -> dict[str, str]:
    return {"Authorization": f"Bearer {Tokens(SECRET, 60).create_access_token(claims)}"}


def forget(services: Services, session_id: str) -> None:
    """Make Redis lose a session's hot state."""
    with Redis.from_url(services.redis_url) as redis:
        for partition in range(16):
            key = KEYS.session(partition, session_id)
            redis.delete(key, f"{key}:log", f"{key}:users")


async def is_removed(services: Services, user_id: str) -> bool:
    """Whether Postgres knows that the host removed the user."""
    connection = await asyncpg.connect(services.database_url)
    try:
        return bool(await connection.fetchval("SELECT is_removed FROM users WHERE id = $1", UUID(user_id)))
    finally:
        await connection.close()


async def stored(rest: Rest, session_id: str, count: int) -> list[Json]:
    """The history, once the worker has written so many messages."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            page = await rest.ask("GET", f"/api/sessions/{session_id}/messages?limit=200", 200)
            if len(page["items"]) >= count:
                items: list[Json] = page["items"]
                return items
            await asyncio.sleep(0.02)  # between two looks


async def say(rest: Rest, session: Json, **fields: object) -> Json:
    return await rest.ask("POST", f"/api/sessions/{session['id']}/messages", 202, fields, token=session["host_token"])


# Sessions


async def test_a_session_needs_only_a_name(client: httpx.AsyncClient) -> None:
    """A session needs no more than a name; the answer has everything about it and says where it is."""
    before = datetime.now(UTC)
    response = await client.post("/api/sessions", json={"name": "  Table \u2003"})
    data = response.json()["data"]
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/sessions/{data['id']}"
    assert "Idempotency-Replayed" not in response.headers
    assert UUID(data["id"]).version == 4
    assert abs((datetime.fromisoformat(data["created_at"]) - before).total_seconds()) < 60
    assert data["host_token"].count(".") == 2
    rest = {key: value for key, value in data.items() if key not in {"id", "created_at", "host_token"}}
    assert rest == {
        "name": "Table",
        "max_users": 6,
        "is_active": True,
        "has_password": False,
        "presence": "full",
        "spirit": True,
        "slow_consumers": "resync",
        "multiple_connections": False,
        "user_count": 0,
    }


async def test_every_option_of_a_new_session_is_kept(rest: Rest, elsewhere: Rest) -> None:
    """Everything that was asked for is kept, and any gateway shows it; neither password nor hash nor token is shown.

    A caller without a token does not get the name of a session with a password.
    """
    created = await rest.create(
        name="🔮" * 100,
        max_users=10_000,
        password="open sesame",
        presence="full",
        spirit=False,
        slow_consumers="disconnect",
        multiple_connections=True,
    )
    assert (created["name"], created["max_users"], created["has_password"]) == ("🔮" * 100, 10_000, True)
    assert (created["presence"], created["spirit"]) == ("full", False)
    assert (created["slow_consumers"], created["multiple_connections"]) == ("disconnect", True)
    token, path = created.pop("host_token"), f"/api/sessions/{created['id']}"
    assert await elsewhere.ask("GET", path, 200, token=token) == created
    assert await elsewhere.ask("GET", path, 200) == {**created, "name": None}


@pytest.mark.parametrize(("max_users", "presence"), [(1, "full"), (100, "full"), (101, "summary"), (10_000, "summary")])
async def test_presence_depends_on_the_number_of_seats(rest: Rest, max_users: int, presence: str) -> None:
    """Presence is full up to 100 seats, else summary; null asks for the default."""
    assert (await rest.create(max_users=max_users, presence=None, password=None))["presence"] == presence


async def test_id_in_upper_case(rest: Rest) -> None:
    """A session is found under its id in capitals."""
    created = await rest.create()
    assert (await rest.ask("GET", f"/api/sessions/{created['id'].upper()}", 200))["id"] == created["id"]


async def test_a_session_that_redis_forgot_is_served(rest: Rest, services: Services) -> None:
    """A session that Redis does not hold any more is answered, published to and closed as before."""
    created = await rest.create(password="open sesame", slow_consumers="disconnect", multiple_connections=True)
    token = created.pop("host_token")
    path = f"/api/sessions/{created['id']}"
    forget(services, created["id"])
    assert await rest.ask("GET", path, 200, token=token) == created
    forget(services, created["id"])
    assert await rest.ask("GET", f"{path}/users", 200, token=token) == {"users": [], "user_count": 0}
    forget(services, created["id"])
    assert (await rest.ask("POST", f"{path}/messages", 202, {"text": "hi"}, token=token))["seq"] > 0
    forget(services, created["id"])
    assert await rest.ask("POST", f"{path}/events", 202, {"type": "user_typing"}, token=token)
    forget(services, created["id"])
    user = f"{path}/users/{uuid4()}"
    assert (await rest.ask("DELETE", user, 404, token=token))["code"] == "user_not_found"
    forget(services, created["id"])
    assert (await rest.ask("DELETE", path, 200, token=token))["is_active"] is False
    forget(services, created["id"])
    assert (await rest.ask("GET", path, 200))["is_active"] is False


# Idempotency


@pytest.mark.parametrize("subject", [None, "shop"])
async def test_same_key_same_session(
    client: httpx.AsyncClient, gateways: list[Gateway], *, subject: str | None
) -> None:
    """The same key and body give the same session, on another gateway too, marked as replayed.

    Only a caller with a token gets the host token again: anybody may have seen the key.
    """
    headers = {"Idempotency-Key": str(uuid4())}
    if subject is not None:
        headers = {"Idempotency-Key": f"key {uuid4()}", **bearer(Claims(scope="sessions:create", subject=subject))}
    defaults = {"multiple_connections": False, "slow_consumers": "resync", "max_users": 6, "name": " Table "}
    first = await client.post("/api/sessions", json={"name": "Table"}, headers=headers)
    async with httpx.AsyncClient(base_url=gateways[2].url) as other:
        again = await other.post("/api/sessions", json=defaults, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    created, repeated = first.json()["data"], again.json()["data"]
    tokens = created.pop("host_token"), repeated.pop("host_token", None)
    assert repeated == created
    assert (tokens[1] is None) == (subject is None)
    await Rest(client).ask("DELETE", f"/api/sessions/{created['id']}", 200, token=tokens[1] or tokens[0])


async def test_a_key_belongs_to_its_caller(client: httpx.AsyncClient) -> None:
    """The same key of another tenant, of another token without a subject, or of nobody makes another session."""
    key = {"Idempotency-Key": str(uuid4())}
    callers: list[dict[str, str]] = [
        {},
        bearer(Claims(scope="sessions:create", subject="shop")),
        bearer(Claims(scope="sessions:create", subject="bank")),
        bearer(Claims(scope="sessions:create")),
        bearer(Claims(scope="sessions:create")),
    ]
    answers = [await client.post("/api/sessions", json={"name": "T"}, headers={**key, **one}) for one in callers]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["data"]["id"] for answer in answers}) == len(callers)


@pytest.mark.parametrize("key", ["order-17", "a" * 21, "0123456789 0123456789 0123456789"])
async def test_a_key_without_a_token_must_be_random(client: httpx.AsyncClient, key: str) -> None:
    """Who has no token gives a UUID or 22 characters of base64url; the answer names the header and what to do."""
    response = await client.post("/api/sessions", json={"name": "T"}, headers={"Idempotency-Key": key})
    assert response.status_code == 422
    [detail] = response.json()["error"]["details"]
    assert detail["field"] == "Idempotency-Key"
    assert "uuidgen" in detail["message"]


async def test_same_key_other_body(client: httpx.AsyncClient) -> None:
    """The same key with another body, if only the password or an option differs, is a conflict."""
    headers = {"Idempotency-Key": str(uuid4())}
    first = {"name": "T", "password": "open sesame"}
    others = ({"password": "open barley"}, {"slow_consumers": "disconnect"}, {"multiple_connections": True})
    for body, status in ((first, 201), *(({**first, **other}, 409) for other in others), (first, 201)):
        response = await client.post("/api/sessions", json=body, headers=headers)
        assert response.status_code == status
    assert (await client.post("/api/sessions", json={"name": "T"}, headers=headers)).json()["error"]["code"] == (
        "idempotency_conflict"
    )


async def test_same_key_at_once(client: httpx.AsyncClient) -> None:
    """Many requests with one key at the same time make one session."""
    headers = {"Idempotency-Key": str(uuid4())}
    posts = [client.post("/api/sessions", json={"name": "Table"}, headers=headers) for _ in range(20)]
    responses = await asyncio.gather(*posts)
    assert {response.status_code for response in responses} == {201}
    assert len({response.json()["data"]["id"] for response in responses}) == 1
    assert sum("Idempotency-Replayed" not in response.headers for response in responses) == 1


async def test_redis_holds_no_secret(client: httpx.AsyncClient, services: Services) -> None:
    """Neither the key nor the password can be read in Redis, and what is kept expires."""
    key = str(uuid4())
    body = {"name": "Table", "password": "open sesame"}
    await client.post("/api/sessions", json=body, headers={"Idempotency-Key": key})
    with Redis.from_url(services.redis_url, decode_responses=True) as redis:
        names = list(redis.scan_iter(KEYS.idempotency("*")))
        assert names
        for name in names:
            assert key not in name
            assert "sesame" not in str(redis.get(name))
            assert 0 < redis.ttl(name) <= 86_400


# Messages


async def test_a_published_message_is_delivered_and_kept(rest: Rest, elsewhere: Rest, gateways: list[Gateway]) -> None:
    """A published message reaches the people on another gateway and the history, with the same id and seq."""
    session = await rest.create(spirit=False)
    async with connected(gateways[1].url, session["id"]) as ana:
        await ana.join("Ana")
        published = await say(rest, session, text="  hello \n", user_name=" Bot ")
        event = await ana.event_of("message_received")
    assert (event["seq"], event["data"]["id"]) == (published["seq"], published["id"])
    assert event["data"] == {
        "id": published["id"],
        "session_id": session["id"],
        "user_id": None,
        "user_name": "Bot",
        "text": "hello",
        "timestamp": event["ts"],
        "is_spirit": False,
    }
    assert await stored(elsewhere, session["id"], 1) == [{**event["data"], "seq": published["seq"]}]


async def test_a_message_without_a_name_is_the_servers_or_the_spirits(rest: Rest) -> None:
    """A message without a name is the server's, or the spirit's when the spirit speaks."""
    session = await rest.create()
    await say(rest, session, text="one")
    await say(rest, session, text="two", is_spirit=True)
    spoken = [(item["user_name"], item["is_spirit"]) for item in await stored(rest, session["id"], 2)]
    assert spoken == [("Server", False), ("Spirit", True)]


async def test_the_longest_message_is_kept_whole(rest: Rest) -> None:
    """A message of 500 characters outside the basic plane is kept whole."""
    session = await rest.create()
    await say(rest, session, text="🔮" * 500, user_name="é" * 50, id="x" * 64)
    (item,) = await stored(rest, session["id"], 1)
    assert (item["text"], item["user_name"]) == ("🔮" * 500, "é" * 50)


async def test_a_repeated_message_id_is_published_once(rest: Rest, elsewhere: Rest) -> None:
    """A message repeated with its id, on any gateway, is the first one again."""
    session = await rest.create()
    first = await say(rest, session, text="one", id="k1")
    assert await say(elsewhere, session, text="one", id="k1") == first
    assert (await say(rest, session, text="two", id="k2"))["seq"] == first["seq"] + 1


async def test_the_ack_level_accepted_may_be_asked_for(rest: Rest) -> None:
    """The acknowledgement that there is may be asked for."""
    session = await rest.create()
    path = f"/api/sessions/{session['id']}/messages?ack=accepted"
    await rest.ask("POST", path, 202, {"text": "hi"}, token=session["host_token"])


async def test_history_pages_lead_through_every_message(rest: Rest) -> None:
    """Pages lead through the whole history in both directions, each message once, seq rising."""
    session = await rest.create()
    path = f"/api/sessions/{session['id']}/messages"
    for number in range(7):
        await say(rest, session, text=str(number))
    everything = [item["seq"] for item in await stored(rest, session["id"], 7)]
    assert everything == list(range(1, 8))

    newest = await rest.ask("GET", f"{path}?limit=3", 200)
    assert [item["seq"] for item in newest["items"]] == [5, 6, 7]
    assert (newest["next_before"], newest["next_after"]) == (5, None)
    older = await rest.ask("GET", f"{path}?limit=3&before=5", 200)
    assert [item["seq"] for item in older["items"]] == [2, 3, 4]
    assert (older["next_before"], older["next_after"]) == (2, 4)
    oldest = await rest.ask("GET", f"{path}?limit=3&after=0", 200)
    assert [item["seq"] for item in oldest["items"]] == [1, 2, 3]
    assert (oldest["next_before"], oldest["next_after"]) == (None, 3)
    assert await rest.ask("GET", f"{path}?before=1", 200) == {"items": [], "next_before": None, "next_after": None}


# Users


async def test_every_user_on_every_gateway_is_listed(rest: Rest, gateways: list[Gateway]) -> None:
    """Everyone present is listed, on whatever gateway they are, and counted in the session."""
    session = await rest.create()
    async with contextlib.AsyncExitStack() as stack:
        present = []
        for gateway, name in zip(gateways, ("Ana", "Bea", "Cem"), strict=True):
            client = await stack.enter_async_context(connected(gateway.url, session["id"]))
            present.append((await client.join(name))["data"]["you"])
        found = await rest.ask("GET", f"/api/sessions/{session['id']}/users", 200)
        assert sorted(found["users"], key=lambda user: str(user["name"])) == present
        assert found["user_count"] == 3
        assert (await rest.ask("GET", f"/api/sessions/{session['id']}", 200))["user_count"] == 3


async def test_a_user_who_has_left_can_be_removed(rest: Rest, gateways: list[Gateway], services: Services) -> None:
    """The host removes who has just left; the token admits and reads no more, also when Redis forgets the session."""
    session = await rest.create(spirit=False)
    async with connected(gateways[0].url, session["id"]) as ana:
        welcome = await ana.join("Ana")
        await ana.say({"type": "leave"})
        await ana.closed()
    path = f"/api/sessions/{session['id']}/users/{welcome['data']['you']['id']}"
    assert await rest.ask("DELETE", path, 200, token=session["host_token"]) == {"user": welcome["data"]["you"]}
    for _ in range(2):
        await rest.ask("GET", f"/api/sessions/{session['id']}/users", 403, token=welcome["data"]["token"])
        async with connected(gateways[1].url, session["id"]) as again:
            await again.say({"type": "join", "name": "Ana", "token": welcome["data"]["token"]})
            assert (await again.event_of("error"))["data"]["code"] == "unauthorized"
        await eventually(lambda: is_removed(services, welcome["data"]["you"]["id"]), what="the removal in Postgres")
        forget(services, session["id"])


async def test_a_removed_user_is_told_and_disconnected(rest: Rest, gateways: list[Gateway]) -> None:
    """A removed user is closed with 4507 on whatever gateway they are, the others are told, no token admits again."""
    session = await rest.create(spirit=False)
    async with connected(gateways[0].url, session["id"]) as zoe, connected(gateways[1].url, session["id"]) as ana:
        await zoe.join("Zoe")
        welcome = await ana.join("Ana")
        # Ids mean the same in capitals.
        path = f"/api/sessions/{session['id'].upper()}/users/{welcome['data']['you']['id'].upper()}"
        removed = await rest.ask("DELETE", path, 200, token=session["host_token"])
        assert removed == {"user": welcome["data"]["you"]}
        left = await zoe.event_of("user_left")
        assert (left["data"]["user"], left["data"]["reason"]) == (welcome["data"]["you"], "removed")
        assert (await ana.event_of("error"))["data"]["code"] == "removed"
        assert (await ana.closed())[0] == 4507
        assert await rest.ask("DELETE", path, 200, token=session["host_token"]) == removed
    async with connected(gateways[2].url, session["id"]) as again:
        await again.say({"type": "join", "name": "Ana", "token": welcome["data"]["token"]})
        await again.event_of("error")
        assert (await again.closed())[0] in {4501, 4507}


# Ephemeral events


async def test_ephemeral_events_are_delivered_and_not_kept(rest: Rest, gateways: list[Gateway]) -> None:
    """Ephemeral events reach the people in the session without a seq, and are not kept."""
    session = await rest.create(spirit=False)
    path, token = f"/api/sessions/{session['id']}/events", session["host_token"]
    async with connected(gateways[2].url, session["id"]) as ana:
        await ana.join("Ana")
        sent = await rest.ask("POST", path, 202, {"type": "spirit_thinking"}, token=token)
        assert sent == {"type": "spirit_thinking"}
        await rest.ask("POST", path, 202, {"type": "user_typing", "user_name": " Bot "}, token=token)
        await rest.ask("POST", path, 202, {"type": "user_typing"}, token=token)
        thinking, bot, server = [await ana.event() for _ in range(3)]
    assert (thinking["type"], "seq" in thinking) == ("spirit_thinking", False)
    assert [event["data"]["user"] for event in (bot, server)] == [
        {"id": None, "name": "Bot"},
        {"id": None, "name": "Server"},
    ]


# Closing


async def test_a_closed_session_disconnects_everyone_and_stays_closed(
    rest: Rest, elsewhere: Rest, gateways: list[Gateway]
) -> None:
    """Closing tells and disconnects everyone; closing again says the same, and nothing can be published any more."""
    session = await rest.create(spirit=False)
    path, token = f"/api/sessions/{session['id']}", session["host_token"]
    async with connected(gateways[1].url, session["id"]) as ana:
        await ana.join("Ana")
        closed = await rest.ask("DELETE", path, 200, token=token)
        event = await ana.event_of("session_closed")
        assert closed == {"id": session["id"], "is_active": False, "seq": event["seq"]}
        await ana.event_of("error")
        assert (await ana.closed())[0] == 4504
    assert await elsewhere.ask("DELETE", path, 200, token=token) == closed
    assert (await elsewhere.ask("GET", path, 200))["is_active"] is False
    refused = [
        await rest.ask("POST", f"{path}/messages", 409, {"text": "hi"}, token=token),
        await rest.ask("POST", f"{path}/events", 409, {"type": "user_typing"}, token=token),
    ]
    assert {error["code"] for error in refused} == {"session_closed"}
    assert await rest.ask("GET", f"{path}/messages", 200) == {"items": [], "next_before": None, "next_after": None}


# The rest of the surface


async def test_health_counts_what_is_delivered(client: httpx.AsyncClient) -> None:
    """A healthy gateway says so, and its totals rise with what it delivers."""
    body = (await client.get("/health")).json()
    assert (body["status"], body["database"], body["redis"], body["gateway_id"]) == ("ok", "up", "up", "gw-1")
    rest = Rest(client)
    session = await rest.create(spirit=False)
    async with connected(str(client.base_url), session["id"]) as ana:
        await ana.join("Ana")
        await say(rest, session, text="hi")
        await ana.event_of("message_received")
        now = (await client.get("/health")).json()
    assert now["sockets"] >= 1
    assert now["sessions"] >= 1
    assert now["events_total"] > body["events_total"]
    assert now["deliveries_total"] > body["deliveries_total"]
    assert now["uptime_seconds"] >= body["uptime_seconds"]


async def test_the_root_leads_to_a_complete_document(client: httpx.AsyncClient) -> None:
    """The root leads to the documentation, and the document names every operation."""
    response = await client.get("/", follow_redirects=True)
    assert response.url.path == "/docs"
    document = (await client.get("/openapi.json")).json()
    assert "/api/sessions/{id}/messages" in document["paths"]


async def test_head_has_no_body(client: httpx.AsyncClient) -> None:
    """HEAD answers like GET, without the body."""
    session = await Rest(client).create()
    response = await client.head(f"/api/sessions/{session['id']}")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0
