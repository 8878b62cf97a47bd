"""Access tokens: claims, lifetimes, scopes, and the error of each kind of bad token."""

import time
from typing import Any

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.claims import Claims, Scope
from gateway.access.signatures import LEEWAY_SECONDS
from gateway.access.token_errors import (
    TokenError,
    TokenExpiredError,
    TokenMalformedError,
    TokenRevokedError,
    TokenScopeError,
    TokenSessionError,
    TokenSignatureError,
)
from gateway.access.tokens import Tokens

SECRET = "a-secret-of-at-least-thirty-two-bytes"
SESSION = "11111111-1111-4111-8111-111111111111"
USER = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(SECRET, expires_seconds=3600)


def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """A signed host token with some claims changed; None removes a claim."""
    now = int(time.time())
    payload = {"iss": "seance", "iat": now, "exp": now + 60, "scope": "host", "sid": SESSION, **changes}
    return jwt.encode({k: v for k, v in payload.items() if v is not None}, secret, algorithm=algorithm)


@pytest.mark.parametrize(
    "claims", [Claims.user(SESSION, USER, "Åna 🔮"), Claims.host(SESSION), Claims.publish(SESSION), Claims.publish()]
)
async def test_claims_survive_the_round_trip(tokens: Tokens, claims: Claims) -> None:
    """Verification returns the claims that the token was made with."""
    verified = await tokens.verify_token(tokens.create_access_token(claims))
    assert verified.token_id is not None
    assert verified.issued_at is not None
    assert verified.expires_at is not None
    assert verified.issuer == "seance"
    assert claims == msgspec.structs.replace(verified, token_id=None, issued_at=None, expires_at=None, issuer=None)


def test_payload_uses_registered_names(tokens: Tokens) -> None:
    """A user token has sub, sid, name, scope, iss, iat, exp and jti, and no other claim."""
    payload = jwt.decode(
        tokens.create_access_token(Claims.user(SESSION, USER, "Ana")), SECRET, algorithms=["HS256"], issuer="seance"
    )
    assert {"sub": USER, "sid": SESSION, "name": "Ana", "scope": "user", "iss": "seance"}.items() <= payload.items()
    assert payload.keys() == {"sub", "sid", "name", "scope", "iss", "iat", "exp", "jti"}
    assert payload["exp"] - payload["iat"] == 3600


def test_a_token_that_continues_another_one_keeps_its_id(tokens: Tokens) -> None:
    """A token is minted with a new id, unless its claims have one."""
    minted = [tokens.create_access_token(Claims(scope="admin", token_id=given)) for given in (None, None, "t-1")]
    ids = [jwt.decode(token, SECRET, algorithms=["HS256"])["jti"] for token in minted]
    assert (len(set(ids)), ids[2]) == (3, "t-1")


async def test_a_revoked_token_is_refused() -> None:
    """A genuine token is refused when its claims are revoked, whatever its scope."""
    tokens = Tokens(SECRET, 3600, is_revoked=lambda claims: claims.token_id == "t-1")
    await tokens.verify_token(tokens.create_access_token(Claims.host(SESSION)))
    with pytest.raises(TokenRevokedError, match="revoked"):
        await tokens.verify_token(tokens.create_access_token(Claims(scope="admin", token_id="t-1")))


def test_lifetime_can_be_chosen(tokens: Tokens) -> None:
    """The lifetime of one token may differ from the setting."""
    token = tokens.create_access_token(Claims.publish(), expires_seconds=60)
    payload = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert payload["exp"] - payload["iat"] == 60


@pytest.mark.parametrize(
    ("scope", "fields"),
    [
        ("user", {"sub": USER, "name": "Ana"}),
        ("user", {"sid": SESSION, "name": "Ana"}),
        ("user", {"sid": SESSION, "sub": USER}),
        ("host", {}),
    ],
)
def test_claims_must_be_complete(scope: Scope, fields: dict[str, str]) -> None:
    """A scope without the claims that it needs is neither minted nor verified."""
    with pytest.raises(msgspec.ValidationError, match="needs"):
        msgspec.convert({"scope": scope, **fields}, Claims)
    with pytest.raises(ValueError, match="needs"):
        Claims(scope=scope, session_id=fields.get("sid"), subject=fields.get("sub"), name=fields.get("name"))


async def test_an_expired_token_is_refused_after_the_leeway(tokens: Tokens) -> None:
    """A token is refused as expired once its time and the leeway are over."""
    with pytest.raises(TokenExpiredError, match="expired"):
        await tokens.verify_token(signed(exp=int(time.time()) - LEEWAY_SECONDS - 1))


async def test_a_token_of_another_secret_is_refused(tokens: Tokens) -> None:
    """A token signed with another secret is refused for its signature."""
    with pytest.raises(TokenSignatureError, match="signature is wrong"):
        await tokens.verify_token(signed(secret="another-secret-of-at-least-32-bytes!"))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_a_token_of_another_algorithm_is_refused(algorithm: str) -> None:
    """Only HS256 is accepted, even with the right secret."""
    secret = "x" * 64
    with pytest.raises(TokenSignatureError, match="HS256"):
        await Tokens(secret, 60).verify_token(signed(secret=secret, algorithm=algorithm))


async def test_an_unsigned_token_is_refused(tokens: Tokens) -> None:
    """The algorithm `none` is refused."""
    token = jwt.encode({"iss": "seance", "scope": "host", "sid": SESSION}, "", algorithm="none")
    with pytest.raises(TokenSignatureError, match="HS256"):
        await tokens.verify_token(token)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exp": None}, "no claim `exp`"),
        ({"iat": None}, "no claim `iat`"),
        ({"iss": None}, "no claim `iss`"),
        ({"iss": "another"}, "`iss` is not `seance`"),
        ({"iat": int(time.time()) + 3600}, "not valid yet"),
        ({"aud": "elsewhere"}, "`aud` must be absent"),
        ({"exp": "soon"}, "not a JWT"),
        ({"scope": "user admin"}, "scope"),
        ({"scope": None}, "scope"),
        ({"sid": ""}, "sid"),
        ({"sid": 7}, "sid"),
        ({"sid": None}, "needs `sid`"),
        ({"scope": "user"}, "needs `sub` and `name`"),
    ],
)
async def test_a_wrong_claim_is_named(tokens: Tokens, changes: dict[str, Any], message: str) -> None:
    """A signed token with wrong claims is malformed, and the message names the claim."""
    with pytest.raises(TokenMalformedError, match=message):
        await tokens.verify_token(signed(**changes))


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "..", "\ud800.a.b", "x" * 5000, "e30.e30.e30", "e30" * 1365]
)
async def test_text_that_is_no_jwt_is_refused(tokens: Tokens, token: str) -> None:
    """Text that is no JWT is malformed or unsigned."""
    with pytest.raises((TokenMalformedError, TokenSignatureError)):
        await tokens.verify_token(token)


@given(st.text())
async def test_any_text_raises_only_a_token_error(token: str) -> None:
    """For any text verification raises a TokenError and no other exception."""
    with pytest.raises(TokenError):
        await Tokens(SECRET, 60).verify_token(token)


async def test_a_token_of_another_scope_is_refused(tokens: Tokens) -> None:
    """A genuine token with another scope is refused, and the message names both scopes."""
    token = tokens.create_access_token(Claims.user(SESSION, USER, "Ana"))
    assert (await tokens.verify_token(token, scopes={"user", "host"})).scope == "user"
    with pytest.raises(TokenScopeError, match="scope `host` or `publish`; this one has `user`"):
        await tokens.verify_token(token, scopes={"publish", "host"})


async def test_a_token_admits_to_its_own_session_only(tokens: Tokens) -> None:
    """A genuine token admits to the session it is bound to, and to no other."""
    token = tokens.create_access_token(Claims.host(SESSION))
    assert (await tokens.verify_token(token, session_id=SESSION)).session_id == SESSION
    with pytest.raises(TokenSessionError, match="another session"):
        await tokens.verify_token(token, session_id=USER)


async def test_a_publish_token_without_session_admits_everywhere(tokens: Tokens) -> None:
    """A publish token without session admits to every session."""
    token = tokens.create_access_token(Claims.publish())
    assert (await tokens.verify_token(token, scopes={"publish"}, session_id=SESSION)).session_id is None
