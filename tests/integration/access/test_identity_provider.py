"""Tokens of an identity provider, whose keys a real HTTP server publishes."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.access.claims import Claims
from gateway.access.identity_provider import MAX_WAITING, IdentityProvider
from gateway.access.key_sources import MAX_BYTES
from gateway.access.token_errors import (
    KeysUnavailableError,
    TokenMalformedError,
    TokenScopeError,
    TokenSessionError,
    TokenSignatureError,
)
from gateway.access.tokens import Tokens
from gateway.settings import Settings
from tests.gateways import SECRET
from tests.identity_provider import AUDIENCE, ISSUER, Json, KeyServer, SigningKey, key_server, key_set
from tests.waiting import eventually

SESSION, OTHER = str(uuid.uuid4()), str(uuid.uuid4())
JOIN: Json = {"scope": "sessions:join", "name": "Ana", "sub": "u-1"}


@pytest.fixture(scope="module")
def keys() -> list[SigningKey]:
    return [SigningKey("RS256", "rsa"), SigningKey("ES256", "ec"), SigningKey("EdDSA", "ed")]


@pytest.fixture
async def server(keys: list[SigningKey]) -> AsyncIterator[KeyServer]:
    async with key_server(key_set(*keys)) as server:
        yield server


@asynccontextmanager
async def tokens_of(settings: Settings) -> AsyncIterator[Tokens]:
    """Tokens with the identity provider of the settings."""
    provider = IdentityProvider.of(settings)
    assert provider is not None
    try:
        yield Tokens(SECRET, 60, provider=provider)
    finally:
        await provider.close()


def settings_of(server: KeyServer, **others: Any) -> Settings:
    return Settings(jwks_url=server.url, jwt_audience=AUDIENCE, jwt_issuer=ISSUER, **others)


async def test_every_algorithm_is_verified_after_one_fetch(server: KeyServer, keys: list[SigningKey]) -> None:
    """RS256, ES256 and EdDSA; the first tokens wait for one fetch together, and later ones for none."""
    async with tokens_of(settings_of(server)) as tokens:
        for _ in range(2):
            verified = await asyncio.gather(
                *(tokens.verify_token(key.sign(**JOIN), scopes={"sessions:join"}) for key in keys * 5)
            )
            assert {(claims.name, claims.subject, claims.issuer) for claims in verified} == {("Ana", "u-1", ISSUER)}
        assert (await tokens.verify_token(tokens.create_access_token(Claims.host(SESSION)))).scope == "host"
    assert server.fetches == 1


@pytest.mark.parametrize(
    "stated",
    [
        "openid sessions:join email",
        ["openid", "sessions:join"],
        "sessions:create sessions:join",
        ["sessions:join", 7],
        "user sessions:join",
    ],
)
async def test_the_scope_is_found_among_others(server: KeyServer, keys: list[SigningKey], stated: object) -> None:
    """Providers state several scopes, as a text or as a list; the one that allows the request counts."""
    async with tokens_of(settings_of(server, jwt_scope_claim="roles", jwt_name_claim="nick")) as tokens:
        token = keys[0].sign(roles=stated, nick="Ana", scope="admin", name="x", sub="u-1")
        assert (await tokens.verify_token(token, scopes={"sessions:join", "user"})).name == "Ana"
        with pytest.raises(TokenScopeError):
            await tokens.verify_token(token, scopes={"admin"})


async def test_a_session_of_the_providers_own_is_not_one_of_ours(server: KeyServer, keys: list[SigningKey]) -> None:
    """Many providers have a claim `sid` for a login: another claim then binds a token to a session."""
    token = keys[1].sign(**JOIN, sid=OTHER)
    async with tokens_of(settings_of(server)) as tokens:
        with pytest.raises(TokenSessionError):
            await tokens.verify_token(token, session_id=SESSION)
    async with tokens_of(settings_of(server, jwt_session_claim="room")) as tokens:
        assert (await tokens.verify_token(token, session_id=SESSION)).session_id is None
        with pytest.raises(TokenSessionError):
            await tokens.verify_token(keys[1].sign(**JOIN, room=OTHER), session_id=SESSION)


async def test_a_token_without_a_name_names_the_claim(server: KeyServer, keys: list[SigningKey]) -> None:
    """A token that lacks what its scope needs is malformed."""
    async with tokens_of(settings_of(server)) as tokens:
        with pytest.raises(TokenMalformedError, match="needs `name`"):
            await tokens.verify_token(keys[2].sign(scope="sessions:join"))


async def test_ten_thousand_invented_keys_cost_one_fetch(server: KeyServer, keys: list[SigningKey]) -> None:
    """An unknown `kid` is refused without a fetch and without arithmetic when the last attempt is not 10 s ago."""
    stranger = SigningKey("EdDSA", "stranger")
    async with tokens_of(settings_of(server)) as tokens:
        invented = [stranger.sign({"kid": f"invented {number}"}, **JOIN) for number in range(100)] * 100
        for start in range(0, len(invented), 100):
            batch = [tokens.verify_token(token) for token in invented[start : start + 100]]
            refused = await asyncio.gather(*batch, return_exceptions=True)
            assert {type(error) for error in refused} <= {TokenSignatureError, KeysUnavailableError}
        await tokens.verify_token(keys[0].sign(**JOIN))
    assert server.fetches == 1


async def test_few_tokens_wait_for_a_provider_that_hangs(server: KeyServer, keys: list[SigningKey]) -> None:
    """Beyond a bound tokens are told to come back; the others are verified once the keys are there."""
    server.answers.clear()
    async with tokens_of(settings_of(server)) as tokens:
        waiting = [asyncio.create_task(tokens.verify_token(keys[0].sign(**JOIN))) for _ in range(MAX_WAITING)]
        await eventually(lambda: server.fetches == 1)
        with pytest.raises(KeysUnavailableError):
            await tokens.verify_token(keys[0].sign(**JOIN))
        server.answers.set()
        assert len(await asyncio.gather(*waiting)) == MAX_WAITING
    assert server.fetches == 1


@pytest.mark.parametrize(
    ("status", "document"), [(500, b"{}"), (302, b""), (200, b"<html>"), (200, b" " * (MAX_BYTES + 1))]
)
async def test_an_answer_without_keys_is_no_refusal(
    server: KeyServer, keys: list[SigningKey], status: int, document: bytes
) -> None:
    """While the keys can't be had nobody knows whether a token is good: come back later. Our own tokens are fine."""
    server.status, server.document = status, document
    async with tokens_of(settings_of(server)) as tokens:
        with pytest.raises(KeysUnavailableError):
            await tokens.verify_token(keys[0].sign(**JOIN))
        await tokens.verify_token(tokens.create_access_token(Claims.host(SESSION)))


async def test_a_provider_that_can_not_be_reached_is_no_refusal() -> None:
    """No connection, no answer."""
    async with tokens_of(Settings(jwks_url="http://127.0.0.1:1/keys", jwt_audience=AUDIENCE)) as tokens:
        with pytest.raises(KeysUnavailableError):
            await tokens.verify_token(SigningKey("EdDSA", "ed").sign(**JOIN))


async def test_keys_of_a_file_are_used(tmp_path: Path, keys: list[SigningKey]) -> None:
    """JWKS_FILE does what JWKS_URL does."""
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(keys[2]))
    async with tokens_of(Settings(jwks_file=str(file))) as tokens:
        token = keys[2].sign(**JOIN, aud=None, iss=None)
        assert (await tokens.verify_token(token)).name == "Ana"
    file.unlink()
    async with tokens_of(Settings(jwks_file=str(file))) as tokens:
        with pytest.raises(KeysUnavailableError):
            await tokens.verify_token(token)


def test_without_keys_there_is_no_provider() -> None:
    """Neither JWKS_URL nor JWKS_FILE: no identity provider."""
    assert IdentityProvider.of(Settings()) is None
