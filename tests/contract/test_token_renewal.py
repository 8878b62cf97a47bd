"""The token of an open socket: renewed by the gateway, or by the client, or the end of the connection."""

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import jwt
import pytest

from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.gateways import SECRET, Gateway, running_gateways
from tests.metrics import Scrape
from tests.raw_client import RawClient, connected
from tests.rest import create_session
from tests.services import Services

Json = dict[str, Any]
TOKENS = Tokens(SECRET, 3600)
PERSON = "person-17"


@pytest.fixture(scope="module")
def strict(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that admits only with a token."""
    with running_gateways(services, tmp_path_factory.mktemp("strict"), auth_mode="token") as [gateway]:
        yield gateway


def of_application(session: Json, seconds: int, subject: str | None = PERSON, **changes: Any) -> str:
    """An application's token that admits a person to the session."""
    stated: Json = {"scope": "sessions:join", "session_id": session["id"], "subject": subject, "name": "Ana"}
    return TOKENS.create_access_token(Claims(**stated | changes), expires_seconds=seconds)


def read(token: str) -> Json:
    """The claims of a token."""
    claims: Json = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False})
    return claims


@contextlib.asynccontextmanager
async def admitted(gateway: Gateway, session: Json, token: str) -> AsyncIterator[tuple[RawClient, Json]]:
    """A client that joined by this token, and the data of its welcome."""
    async with connected(gateway.url, session["id"]) as client:
        yield client, (await client.join("Ana", token=token))["data"]


async def test_a_welcome_tells_when_its_token_ends(gateway_url: str) -> None:
    """`token_expires_in_seconds` is the life of the token in the welcome."""
    session = await create_session(gateway_url)
    async with connected(gateway_url, session["id"]) as ana:
        welcome = (await ana.join("Ana"))["data"]
    claims = read(welcome["token"])
    assert welcome["token_expires_in_seconds"] == claims["exp"] - claims["iat"] == 86_400


async def test_the_gateway_renews_what_it_minted(strict: Gateway, gateway_url: str) -> None:
    """A user's token of ours is renewed in time, again and again, for as long as it was valid; the `jti` stays."""
    session = await create_session(gateway_url)
    first = TOKENS.create_access_token(Claims.user(session["id"], str(uuid4()), "Ana"), expires_seconds=2)
    before = Scrape(strict.url).of("seance_tokens_renewed_total", by="gateway")
    async with admitted(strict, session, first) as (ana, welcome):
        assert welcome["token_expires_in_seconds"] == 2
        tokens = [first, welcome["token"]]
        for _ in range(2):
            renewed = await ana.event_of("token_renewed")
            assert renewed.keys() == {"type", "data"}
            assert renewed["data"]["expires_in_seconds"] == 2
            tokens.append(renewed["data"]["token"])
        assert time.time() > read(first)["exp"]
        assert {read(token)["jti"] for token in tokens} == {read(first)["jti"]}
        assert Scrape(strict.url).of("seance_tokens_renewed_total", by="gateway") >= before + 2
    async with admitted(strict, session, tokens[-1]) as (_, again):
        assert again["you"] == welcome["you"]


async def test_the_clients_token_goes_on(strict: Gateway, gateway_url: str) -> None:
    """The client is told before the end, and goes on with another token of the same person; then that one ends."""
    session = await create_session(gateway_url)
    async with admitted(strict, session, of_application(session, 2)) as (ana, welcome):
        assert welcome["token_expires_in_seconds"] <= 2
        assert read(welcome["token"])["exp"] <= time.time() + 2
        expiring = await ana.event_of("token_expiring")
        assert expiring["data"]["in_seconds"] in {0, 1}
        another = of_application(session, 60)
        await ana.say({"type": "refresh", "id": 5, "token": another})
        renewed = await ana.event_of("token_renewed")
        assert (renewed["id"], renewed["data"]["expires_in_seconds"]) == (5, pytest.approx(60, abs=2))
        assert read(renewed["data"]["token"])["jti"] == read(another)["jti"]
    async with admitted(strict, session, renewed["data"]["token"]) as (_, again):
        assert again["you"] == welcome["you"]
        assert again["token_expires_in_seconds"] <= 60


async def test_an_ended_token_ends_the_connection(strict: Gateway, gateway_url: str) -> None:
    """Without a `refresh` the connection ends with its token, also after a reconnect by the welcome's token."""
    session = await create_session(gateway_url)
    async with admitted(strict, session, of_application(session, 2)) as (_, welcome):
        pass
    async with admitted(strict, session, welcome["token"]) as (ana, _):
        assert [(await ana.event())["type"] for _ in range(2)] == ["token_expiring", "error"]
        error = ana.heard[-1]["data"]
        assert (error["code"], error["retryable"]) == ("unauthorized", False)
        assert "token has ended" in error["message"]
        assert await ana.closed() == (4501, "unauthorized")


async def test_a_bad_refresh_changes_nothing(strict: Gateway, gateway_url: str) -> None:
    """A token that may not continue the connection is refused with its id; the connection keeps its own token."""
    session = await create_session(gateway_url)
    async with admitted(strict, session, of_application(session, 3600)) as (ana, _):
        for number, token in enumerate((of_application(session, 60, "somebody"), "abc")):
            await ana.say({"type": "refresh", "id": number, "token": token})
        refused = [await ana.event_of("error") for _ in range(2)]
        assert {error["id"]: error["data"]["code"] for error in refused} == {0: "forbidden", 1: "rate_limited"}
        await ana.say({"type": "message", "id": 99, "text": "still here"})
        assert (await ana.event_of("ack"))["id"] == 99
