"""Who may do what: sessions with a password, removed users, and a gateway that serves nobody without a token."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.access.claims import Claims, Scope
from gateway.access.tokens import Tokens
from tests.contract.rest_client import Json
from tests.gateways import SECRET, Gateway, running_gateways
from tests.raw_client import RawClient, connected
from tests.rest import call, create_session
from tests.services import Services

TOKENS = Tokens(SECRET, 3600)
PASSWORD = "open sesame"
READS = ("", "/messages", "/users")


@pytest.fixture(scope="module")
def strict(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a gateway as in production: AUTH_MODE is `token` by default."""
    folder = tmp_path_factory.mktemp("strict")
    with running_gateways(services, folder, environment="production") as [gateway]:
        yield gateway.url


def token(scope: Scope, session_id: str | None = None, **others: Any) -> str:
    return TOKENS.create_access_token(Claims(scope=scope, session_id=session_id, **others))


async def opened(url: str, **fields: object) -> Json:
    """A new session of a gateway that wants a token."""
    body = {"name": "Vault", "spirit": False, **fields}
    answer = await call(url, "POST", "/api/sessions", token=token("sessions:create"), body=body)
    assert answer.status_code == 201, answer.text
    session: Json = answer.json()["data"]
    return session


async def read(url: str, session: Json, what: str, bearer: str | None = None) -> httpx.Response:
    return await call(url, "GET", f"/api/sessions/{session['id']}{what}", token=bearer)


async def refused(client: RawClient, code: int, name: str) -> str:
    """The message of the error before the close with this code."""
    event = await client.event()
    assert (event["type"], event["data"]["code"]) == ("error", name)
    assert (await client.closed())[0] == code
    return str(event["data"]["message"])


def readers(session: Json) -> dict[str, str]:
    """A token of each scope that reads the session."""
    here, elsewhere = session["id"], None
    return {
        "user": token("user", here, subject=str(uuid.uuid4()), name="Ana"),
        "joiner": token("sessions:join", here, name="Ana"),
        "joiner of every session": token("sessions:join", elsewhere, name="Ana"),
        "host": session["host_token"],
        "publisher": token("publish", elsewhere),
        "spirit": token("spirit", here),
        "admin": token("admin"),
    }


# Sessions with a password, without AUTH_MODE=token


async def test_a_password_protects_what_is_in_a_session(gateway_url: str) -> None:
    """A stranger sees that there is a password, and neither name, nor history, nor roster; a token shows them."""
    session = await create_session(gateway_url, name="Secret plan", password=PASSWORD)
    shown = await read(gateway_url, session, "")
    assert shown.status_code == 200
    assert (shown.json()["data"]["name"], shown.json()["data"]["has_password"]) == (None, True)
    assert "Secret plan" not in shown.text
    for what in READS[1:]:
        answer = await read(gateway_url, session, what)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="seance"'
    for reader in readers(session).values():
        assert (await read(gateway_url, session, "", reader)).json()["data"]["name"] == "Secret plan"
        for what in READS[1:]:
            assert (await read(gateway_url, session, what, reader)).status_code == 200


async def test_the_welcome_of_a_session_with_a_password_has_a_token_that_reads(gateway_url: str) -> None:
    """Who has given the password once reads with the token of the welcome."""
    session = await create_session(gateway_url, password=PASSWORD)
    async with connected(gateway_url, session["id"]) as ana:
        welcome = await ana.join("Ana", password=PASSWORD)
        answer = await read(gateway_url, session, "/users", welcome["data"]["token"])
        assert [user["name"] for user in answer.json()["data"]["users"]] == ["Ana"]


async def test_a_session_without_a_password_is_open_to_who_knows_its_id(gateway_url: str) -> None:
    """Without a token, and with a token of another session; a token that is not genuine is refused all the same."""
    session, other = await create_session(gateway_url), await create_session(gateway_url)
    for what in READS:
        assert (await read(gateway_url, session, what)).status_code == 200
        assert (await read(gateway_url, session, what, other["host_token"])).status_code == 200
        assert (await read(gateway_url, session, what, "x.y.z")).status_code == 401


async def test_a_token_of_another_session_opens_no_session_with_a_password(gateway_url: str) -> None:
    """Neither the host of another session nor its user is let in."""
    session, other = await create_session(gateway_url, password=PASSWORD), await create_session(gateway_url)
    for stranger in (other["host_token"], token("user", other["id"], subject=str(uuid.uuid4()), name="Ana")):
        assert (await read(gateway_url, session, "", stranger)).json()["data"]["name"] is None
        for what in READS[1:]:
            assert (await read(gateway_url, session, what, stranger)).status_code == 403


async def test_a_removed_user_reads_nothing_more(gateways: list[Gateway]) -> None:
    """On no gateway, and with neither of the tokens that say the same person."""
    session = await create_session(gateways[0].url)
    joiner = token("sessions:join", session["id"], name="Ana", subject="u-1")
    async with connected(gateways[0].url, session["id"]) as ana:
        welcome = (await ana.join("x", token=joiner))["data"]
        path = f"/api/sessions/{session['id']}/users/{welcome['you']['id']}"
        assert (await call(gateways[1].url, "DELETE", path, token=session["host_token"])).status_code == 200
    for what in READS:
        for bearer in (welcome["token"], joiner):
            answer = await read(gateways[2].url, session, what, bearer)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


# The same person, the same user


async def test_the_same_subject_is_the_same_user_of_a_session(gateways: list[Gateway]) -> None:
    """On every gateway, and with a new token; another person, and the same one in another session, is another user."""
    session, other = await create_session(gateways[0].url), await create_session(gateways[0].url)
    ids = []
    for gateway in gateways[:2]:
        async with connected(gateway.url, session["id"]) as ana:
            ana_token = token("sessions:join", name="Ana", subject="u-1")
            welcome = (await ana.join("ignored", token=ana_token))["data"]
            assert [user["name"] for user in welcome["users"]].count("Ana") == 1
            ids.append(welcome["you"]["id"])
            async with connected(gateway.url, session["id"]) as ben:
                ben_token = token("sessions:join", session["id"], name="Ben", subject="u-2")
                assert (await ben.join("x", token=ben_token))["data"]["you"]["id"] not in ids
    async with connected(gateways[0].url, other["id"]) as ana:
        elsewhere = (await ana.join("x", token=token("sessions:join", name="Ana", subject="u-1")))["data"]["you"]["id"]
    assert ids[0] == ids[1] != elsewhere


async def test_a_person_without_a_subject_is_a_new_user_each_time(gateway_url: str) -> None:
    """Two joins with one token without `sub` are two users, and need two names."""
    session = await create_session(gateway_url, password=PASSWORD)
    async with connected(gateway_url, session["id"]) as ana, connected(gateway_url, session["id"]) as again:
        bearer = token("sessions:join", session["id"], name="Ana")
        await ana.join("x", token=bearer)
        await again.say({"type": "join", "token": bearer})
        await refused(again, 4506, "name_taken")


async def test_a_name_in_a_token_must_be_a_name(gateway_url: str) -> None:
    """A token may not give a name that nobody may choose."""
    session = await create_session(gateway_url)
    for name in ("x" * 51, "A\u202eB", "A\0B", " \u00a0"):
        async with connected(gateway_url, session["id"]) as client:
            await client.say({"type": "join", "token": token("sessions:join", name=name)})
            assert "the token's `name` must" in await refused(client, 4501, "unauthorized")


# With `AUTH_MODE=token`


async def test_without_a_token_nothing_is_served(strict: str) -> None:
    """Neither creation, nor reads, nor joins, nor what has always needed a token; a password is no token."""
    session = await opened(strict, password=PASSWORD)
    path = f"/api/sessions/{session['id']}"
    for method, where, body in (
        ("POST", "/api/sessions", {"name": "Mine"}),
        ("GET", path, None),
        ("GET", f"{path}/messages", None),
        ("GET", f"{path}/users", None),
        ("POST", f"{path}/messages", {"text": "hi"}),
        ("POST", f"{path}/events", {"type": "user_typing"}),
        ("DELETE", f"{path}/users/{uuid.uuid4()}", None),
        ("DELETE", path, None),
    ):
        answer = await call(strict, method, where, body=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized"), where
    async with connected(strict, session["id"]) as client:
        await client.say({"type": "join", "name": "Ana", "password": PASSWORD})
        assert "only with a token" in await refused(client, 4501, "unauthorized")


async def test_with_its_token_everybody_does_what_the_scope_says(strict: str) -> None:
    """Each scope reads or does not, publishes or does not, joins or does not."""
    session = await opened(strict, max_users=100, password=PASSWORD)
    path = f"/api/sessions/{session['id']}"
    everybody = {**readers(session), "creator": token("sessions:create")}
    for who, bearer in everybody.items():
        reads = await call(strict, "GET", f"{path}/messages", token=bearer)
        assert reads.status_code == (403 if who == "creator" else 200), who
        says = await call(strict, "POST", f"{path}/messages", token=bearer, body={"text": who})
        assert says.status_code == (202 if who in {"host", "publisher", "spirit", "admin"} else 403), who
        creates = await call(strict, "POST", "/api/sessions", token=bearer, body={"name": "Mine"})
        assert creates.status_code == (201 if who in {"creator", "admin"} else 403), who
        async with connected(strict, session["id"]) as client:
            await client.say({"type": "join", "name": f"Who is {who}", "token": bearer})
            if who in {"publisher", "spirit", "creator"}:
                await refused(client, 4502, "forbidden")
            else:
                welcome = (await client.event_of("welcome"))["data"]
                await client.say({"type": "leave"})
                assert welcome["you"]["name"] in {"Ana", f"Who is {who}"}
    assert (await call(strict, "DELETE", path, token=everybody["publisher"])).status_code == 403
    assert (await call(strict, "DELETE", path, token=everybody["admin"])).status_code == 200


async def test_the_token_of_a_welcome_brings_back(strict: str) -> None:
    """Who joined with a token of the application comes back with the gateway's."""
    session = await opened(strict)
    async with connected(strict, session["id"]) as ana:
        first = (await ana.join("x", token=token("sessions:join", name="Ana", subject="u-1")))["data"]
    async with connected(strict, session["id"]) as ana:
        assert (await ana.join("x", token=first["token"]))["data"]["you"] == first["you"]
