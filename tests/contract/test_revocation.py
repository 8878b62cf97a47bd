"""Revoked tokens: refused on every gateway, and the sockets that they admitted end."""

import asyncio
import contextlib
from typing import Any
from uuid import uuid4

import pytest

from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from tests.gateways import SECRET, Gateway
from tests.raw_client import RawClient, connected
from tests.rest import call, create_session
from tests.waiting import eventually

Json = dict[str, Any]
TOKENS = Tokens(SECRET, 3600)
ADMIN = TOKENS.create_access_token(Claims(scope="admin"))


async def revoke(gateway: Gateway, **body: str) -> Json:
    """Revoke tokens, twice, which changes nothing."""
    for _ in range(2):
        answer = await call(gateway.url, "POST", "/api/tokens/revoke", token=ADMIN, body=body)
        assert answer.status_code == 200, answer.text
    data: Json = answer.json()["data"]
    return data


async def is_ended(client: RawClient) -> None:
    """The client is told that its token was revoked, and disconnected."""
    error = (await client.event_of("error"))["data"]
    assert (error["code"], error["retryable"], error["message"]) == ("unauthorized", False, "the token was revoked")
    assert await client.closed() == (4501, "unauthorized")


async def is_refused(gateway: Gateway, session: Json, token: str) -> None:
    """The token neither admits nor reads."""
    async with connected(gateway.url, session["id"]) as client:
        await client.say({"type": "join", "name": "Ana", "token": token})
        await is_ended(client)
    answer = await call(gateway.url, "GET", f"/api/sessions/{session['id']}/messages", token=token)
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, "the token was revoked")


async def test_a_revoked_token_ends_every_socket_that_came_from_it(gateways: list[Gateway]) -> None:
    """By `jti`: the sockets of the token and of its successors end on every gateway, and both are refused."""
    session = await create_session(gateways[0].url, multiple_connections=True)
    token = TOKENS.create_access_token(
        Claims.user(
            session["id"],
            str(uuid4()),
            "Ana",
        )
    )
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(gateway.url, session["id"])) for gateway in gateways]
        ben = await stack.enter_async_context(connected(gateways[1].url, session["id"]))
        await ben.join("Ben")
        successor = (await clients[0].join("Ana", token=token))["data"]["token"]
        for client in clients[1:]:
            await client.join("Ana", token=successor)
        claims = await TOKENS.verify_token(token)
        assert claims.token_id is not None
        told = await revoke(gateways[2], jti=claims.token_id)
        assert (told["jti"], told["sub"], told["until"] > "2026") == (claims.token_id, None, True)
        await asyncio.gather(*map(is_ended, clients))
        for gateway in gateways:
            await is_refused(gateway, session, token)
            await is_refused(gateway, session, successor)
        await ben.say({"type": "message", "id": 1, "text": "hi"})
        await ben.event_of("ack")


@pytest.mark.parametrize("by", ["the application's id", "the user's id"])
async def test_a_revoked_person_is_out_of_every_session(gateways: list[Gateway], by: str) -> None:
    """By `sub`: every socket of the person ends, and tokens issued until then are refused, the welcome's too."""
    session = await create_session(gateways[0].url)
    person = f"person-{uuid4()}"
    token = TOKENS.create_access_token(Claims(scope="sessions:join", subject=person, name="Ana"))
    async with connected(gateways[1].url, session["id"]) as ana:
        welcome = (await ana.join("Ana", token=token))["data"]
        await revoke(gateways[0], sub=person if by == "the application's id" else welcome["you"]["id"])
        await is_ended(ana)
    await is_refused(gateways[2], session, welcome["token"])
    if by == "the application's id":
        await is_refused(gateways[2], session, token)


async def test_a_host_token_can_be_revoked(gateways: list[Gateway]) -> None:
    """A revoked host token removes nobody any more, on any gateway."""
    session = await create_session(gateways[0].url)
    claims = await TOKENS.verify_token(session["host_token"])
    await revoke(gateways[0], jti=claims.token_id or "")

    async def status() -> bool:
        path = f"/api/sessions/{session['id']}"
        return (await call(gateways[1].url, "DELETE", path, token=session["host_token"])).status_code == 401

    await eventually(status, what="the revocation on another gateway")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "jti"),
        ({"jti": "a", "sub": "b"}, "jti"),
        ({"jti": ""}, "jti"),
        ({"sub": "x" * 256}, "sub"),
        ({"jti": 7}, "jti"),
        ({"jti": "a\0"}, "jti"),
        ({"jti": "a", "until": 5}, "until"),
    ],
)
async def test_what_to_revoke_is_checked(gateway_url: str, body: Json, field: str) -> None:
    """The body names one token or one person."""
    answer = await call(gateway_url, "POST", "/api/tokens/revoke", token=ADMIN, body=body)
    assert answer.status_code == 422
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field]
