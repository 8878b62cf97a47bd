"""Every kind of bad token, over every way in: none of them is let in, and none is an error of the server."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.bad_tokens import OTHER_SESSION, bad_tokens
from tests.gateways import SECRET, Gateway, running_gateways
from tests.identity_provider import AUDIENCE, ISSUER, SigningKey, key_set
from tests.raw_client import ClosedByServerError, connected
from tests.services import Services

OLD_SECRET = "a-former-secret-of-the-tests-that-is-long-enough"
LEAST = 200
ADMIN = {"Authorization": f"Bearer {Tokens(SECRET, 3600).create_access_token(Claims(scope='admin'))}"}


@pytest.fixture(scope="module")
def provider_key() -> SigningKey:
    return SigningKey("RS256", "rsa-1")


@pytest.fixture(scope="module")
def strict(services: Services, tmp_path_factory: pytest.TempPathFactory, provider_key: SigningKey) -> Iterator[Gateway]:
    """A gateway with AUTH_MODE=token, a former secret, and an identity provider with three keys."""
    folder = tmp_path_factory.mktemp("strict")
    keys = folder / "keys.json"
    keys.write_bytes(key_set(provider_key, SigningKey("ES256", "ec-1"), SigningKey("EdDSA", "ed-1")))
    settings: dict[str, Any] = {"jwks_file": keys, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    with running_gateways(services, folder, auth_mode="token", jwt_secrets_old=OLD_SECRET, **settings) as [gateway]:
        yield gateway


@pytest.fixture(scope="module")
def session_id(strict: Gateway) -> str:
    answer = httpx.post(f"{strict.url}/api/sessions", json={"name": "Vault", "max_users": 1000}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


def ways(session_id: str) -> dict[str, tuple[str, str, dict[str, Any], dict[str, Any] | None]]:
    """The ways in over REST: method, path, claims of a good token, body."""
    user = {"scope": "user", "sid": session_id, "sub": str(uuid.uuid4()), "name": "Ana"}
    path = f"/api/sessions/{session_id}"
    return {
        "look": ("GET", path, user, None),
        "read": ("GET", f"{path}/messages", user, None),
        "roster": ("GET", f"{path}/users", {**user, "scope": "sessions:join"}, None),
        "publish": ("POST", f"{path}/messages", {"scope": "host", "sid": session_id}, {"text": "hi"}),
        "create": ("POST", "/api/sessions", {"scope": "sessions:create", "sid": session_id}, {"name": "Mine"}),
    }


@pytest.mark.parametrize("way", ["look", "read", "roster", "publish", "create"])
async def test_no_bad_token_is_let_in_over_rest(
    strict: Gateway, session_id: str, provider_key: SigningKey, way: str
) -> None:
    """Each is answered 401 or 403 in the envelope; the good token that they are made from is let in."""
    method, path, claims, body = ways(session_id)[way]
    kinds = bad_tokens(claims, SECRET, OLD_SECRET, provider_key)
    if way == "create":  # concerns no session, so the session in the token does not matter
        kinds = {kind: token for kind, token in kinds.items() if OTHER_SESSION not in kind}
    let_in: dict[str, object] = {}
    async with httpx.AsyncClient(base_url=strict.url) as client:

        async def ask(token: str) -> httpx.Response:
            header = (b"Authorization", b"Bearer " + token.encode("utf-8", "surrogatepass"))
            return await client.request(method, path, headers=[header], json=body)

        good = Tokens(SECRET, 60).create_access_token(Claims(**renamed(claims)))
        for token in (
            good,
            Tokens(OLD_SECRET, 60).create_access_token(Claims(**renamed(claims))),
            provider_key.sign(**claims),
        ):
            assert (await ask(token)).status_code in {200, 201, 202}
        for kind, token in kinds.items():
            answer = await ask(token)
            if answer.status_code not in {401, 403} or answer.json()["success"] is not False:
                let_in[kind] = (answer.status_code, answer.text)
    assert let_in == {}
    assert len(kinds) >= LEAST


async def test_no_bad_token_is_let_in_over_websocket(
    strict: Gateway, session_id: str, provider_key: SigningKey
) -> None:
    """Each join gets an error and a close; the good token that they are made from joins."""
    claims: dict[str, Any] = {"scope": "sessions:join", "sid": session_id, "sub": "u-1", "name": "Ana"}
    kinds = bad_tokens(claims, SECRET, OLD_SECRET, provider_key)
    let_in: dict[str, object] = {}
    for token in (
        Tokens(SECRET, 60).create_access_token(Claims(**renamed(claims))),
        provider_key.sign(**{**claims, "name": "Ben"}),
    ):
        async with connected(strict.url, session_id) as client:
            assert (await client.join("ignored", token=token))["type"] == "welcome"
    for kind, token in kinds.items():
        async with connected(strict.url, session_id) as client:
            await client.say({"type": "join", "name": "Eve", "token": token})
            answer = await client.event()
            try:
                after = None if answer["type"] == "welcome" else await client.event()
            except ClosedByServerError as closed:
                after = {"close": closed.code}
            if answer["type"] != "error" or after not in ({"close": 4500}, {"close": 4501}, {"close": 4502}):
                let_in[kind] = json.dumps([answer, after])
    assert let_in == {}
    assert len(kinds) >= LEAST


async def test_no_bad_token_continues_a_connection(strict: Gateway, session_id: str, provider_key: SigningKey) -> None:
    """Each `refresh` gets an error and leaves the connection as it is; the good token continues it."""
    claims: dict[str, Any] = {"scope": "sessions:join", "sid": session_id, "sub": "u-2", "name": "Cleo"}
    good = Tokens(SECRET, 3600).create_access_token(Claims(**renamed(claims)))
    kinds = bad_tokens(claims, SECRET, OLD_SECRET, provider_key)
    wrong: dict[str, object] = {}
    for kind, token in {"good": good, **kinds}.items():
        async with connected(strict.url, session_id) as client:
            await client.join("ignored", token=good)
            await client.say({"type": "refresh", "id": 1, "token": token})
            await client.say({"type": "ping", "id": 2})
            answers = [await client.event_of("token_renewed", "error", "pong") for _ in range(2)]
            told = {answer["type"]: answer["data"].get("code") for answer in answers}
            refusals = ("unauthorized", "forbidden", "validation_error", "malformed")
            right = [{"pong": None, "error": code} for code in refusals]
            if told not in ([{"pong": None, "token_renewed": None}] if kind == "good" else right):
                wrong[kind] = answers
    assert wrong == {}
    assert len(kinds) >= LEAST


def renamed(claims: dict[str, Any]) -> dict[str, Any]:
    """The claims under the names of the struct's fields."""
    names = {"sid": "session_id", "sub": "subject"}
    return {names.get(name, name): value for name, value in claims.items()}
