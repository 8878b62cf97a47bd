"""What admits an open connection: which tokens continue it, for how long, and who renews them."""

import time
from typing import Any
from uuid import uuid4

import pytest

from broker.events import User
from gateway.access.claims import Claims
from gateway.access.grants import Grant, Grants, RefreshRefusedError
from gateway.access.tokens import Tokens

DAY = 86_400
SESSION = "5b0d7a52-6c07-4b86-9b2d-0d4f6a6b9f10"
OTHER_SESSION = "7c1e8b63-7d18-4c97-8c3e-1e5f7b7cae21"
TOKENS = Tokens("a-secret-of-the-tests-that-is-long-enough", DAY)
PERSON = Claims(scope="sessions:join", session_id=SESSION, subject="person-17", name="Ana")
NOBODY = Claims(scope="sessions:join", name="Ana")


def grants(*, needs_tokens: bool) -> Grants:
    return Grants(TOKENS, expires_seconds=DAY, needs_tokens=needs_tokens)


async def verified(claims: Claims, seconds: int = 600) -> Claims:
    """The claims as a gateway reads them from a token."""
    return await TOKENS.verify_token(TOKENS.create_access_token(claims, expires_seconds=seconds))


async def joined(claims: Claims | None, *, needs_tokens: bool, seconds: int = 600) -> tuple[User, Grant]:
    """The user who joined by a token with these claims, and the grant."""
    read = None if claims is None else await verified(claims, seconds)
    user_id = None if read is None else read.user_id_in(SESSION)
    user = User(user_id or str(uuid4()), "Ana")
    return user, grants(needs_tokens=needs_tokens).of(SESSION, user, read, "connection-1")


@pytest.mark.parametrize(
    ("claims", "seconds"),
    [
        (None, DAY),
        (Claims.host(SESSION), DAY),
        (Claims(scope="admin"), DAY),
        (Claims.user(SESSION, str(uuid4()), "Ana"), 600),
        (PERSON, 600),
    ],
    ids=["no token", "host", "admin", "user", "application"],
)
async def test_in_open_mode_the_gateway_renews_everything(claims: Claims | None, seconds: int) -> None:
    """A user's successors are valid as long as the first token was; whoever else joins gets the usual time."""
    user, grant = await joined(claims, needs_tokens=False)
    assert (grant.life.is_renewed_here, grant.life.seconds, grant.token_seconds) == (True, seconds, seconds)
    again = await TOKENS.verify_token(grant.token, session_id=SESSION)
    assert (again.scope, again.subject, again.name) == ("user", user.id, "Ana")
    assert again.token_id == grant.token_id


async def test_a_users_token_is_not_prolonged_beyond_the_setting() -> None:
    """A token for a year, minted by hand, has successors of JWT_EXPIRES_SECONDS."""
    _, grant = await joined(Claims.user(SESSION, str(uuid4()), "Ana"), needs_tokens=True, seconds=365 * DAY)
    assert (grant.life.is_renewed_here, grant.token_seconds) == (True, DAY)


@pytest.mark.parametrize("claims", [PERSON, NOBODY], ids=["person", "nobody"])
async def test_what_an_application_grants_ends_with_its_token(claims: Claims) -> None:
    """Under AUTH_MODE=token the token of an application is not prolonged: not in a welcome, not by coming back."""
    user, grant = await joined(claims, needs_tokens=True)
    assert (grant.life.is_renewed_here, grant.life.life_seconds) == (False, 600)
    assert grant.life.seconds == pytest.approx(600, abs=2)
    welcome = await TOKENS.verify_token(grant.token)
    assert welcome.application_subject == (claims.subject or "")
    again = grants(needs_tokens=True).of(SESSION, user, welcome, "connection-2")
    assert (again.life.is_renewed_here, again.token_id) == (False, grant.token_id)
    assert (await TOKENS.verify_token(again.token)).expires_at == pytest.approx(int(time.time()) + 600, abs=2)


async def test_an_identity_providers_user_is_not_renewed_here() -> None:
    """A `user` token that somebody else issued ends as an application's does."""
    claims = await verified(Claims.user(SESSION, str(uuid4()), "Ana"))
    theirs = Claims(
        **{name: getattr(claims, name) for name in claims.__struct_fields__} | {"issuer": "https://id.example"}
    )
    grant = grants(needs_tokens=True).of(SESSION, User(claims.subject, "Ana"), theirs, "connection-1")
    assert (grant.life.is_renewed_here, grant.application_subject) == (False, claims.subject)


async def test_a_renewal_continues_the_grant() -> None:
    """What the gateway renews by itself keeps the id, the application's person, and the time."""
    user, grant = await joined(PERSON, needs_tokens=False)
    renewed = grants(needs_tokens=False).renewed(SESSION, user, grant)
    claims = await TOKENS.verify_token(renewed.token)
    assert (claims.token_id, claims.application_subject) == (grant.token_id, PERSON.subject)
    assert (renewed.life.seconds, renewed.token_seconds) == (600, 600)


@pytest.mark.parametrize("claims", [PERSON, Claims.host(SESSION), Claims(scope="admin")], ids=lambda one: one.scope)
async def test_a_token_of_the_same_person_continues(claims: Claims) -> None:
    """Another token of the person continues the connection, and so does one of the host or an administrator."""
    user, _ = await joined(PERSON, needs_tokens=True)
    token = TOKENS.create_access_token(claims, expires_seconds=60)
    grant = await grants(needs_tokens=True).refreshed(SESSION, user, "connection-1", token)
    assert grant.life.is_renewed_here == (claims.scope != "sessions:join")
    assert (await TOKENS.verify_token(grant.token)).subject == user.id


async def test_an_application_without_persons_names_the_user() -> None:
    """A token without `sub` continues the connection of a user with the same name."""
    user, _ = await joined(NOBODY, needs_tokens=True)
    await grants(needs_tokens=True).refreshed(SESSION, user, "c", TOKENS.create_access_token(NOBODY))


BAD: dict[str, tuple[Claims | str, int, str]] = {
    "no JWT": ("abc", 60, "unauthorized"),
    "expired": (PERSON, -60, "unauthorized"),
    "another person": (Claims(scope="sessions:join", subject="somebody", name="Ana"), 60, "forbidden"),
    "nobody by another name": (Claims(scope="sessions:join", name="Ben"), 60, "forbidden"),
    "another session": (Claims.user(OTHER_SESSION, str(uuid4()), "Ana"), 60, "forbidden"),
    "another user": (Claims.user(SESSION, str(uuid4()), "Ana"), 60, "forbidden"),
    "host of another session": (Claims.host(OTHER_SESSION), 60, "forbidden"),
    "server": (Claims.publish(), 60, "forbidden"),
    "spirit": (Claims(scope="spirit"), 60, "forbidden"),
    "tenant": (Claims(scope="sessions:create"), 60, "forbidden"),
}


@pytest.mark.parametrize("what", BAD)
async def test_another_token_does_not_continue(what: str) -> None:
    """A bad token, and a genuine one of somebody or something else, is refused; the answer names the field."""
    user, _ = await joined(PERSON, needs_tokens=True)
    claims, seconds, code = BAD[what]
    token: Any = claims if isinstance(claims, str) else TOKENS.create_access_token(claims, expires_seconds=seconds)
    with pytest.raises(RefreshRefusedError) as refused:
        await grants(needs_tokens=True).refreshed(SESSION, user, "connection-1", token)
    error = refused.value.error
    assert (error.code, error.field, error.retryable) == (code, "token", False)
