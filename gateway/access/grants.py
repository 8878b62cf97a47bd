"""What admits an open connection and until when; the tokens that continue it."""

import random
import time
from typing import NamedTuple, Protocol

import msgspec

from broker.events import User
from broker.secrecy import concealed
from gateway.access.authority import JOIN
from gateway.access.claims import Claims
from gateway.access.token_errors import KeysUnavailableError, TokenError, TokenScopeError, TokenSessionError
from gateway.access.tokens import ISSUER, Tokens
from gateway.protocol.server_events import RETRY_MS, ErrorData
from gateway.protocol.token_life import TokenLife


class RefreshRefusedError(Exception):
    """The token of a `refresh` is refused; `error` is the answer. The connection keeps the token that it has."""

    def __init__(self, error: ErrorData) -> None:
        super().__init__(error.message)
        self.error = error


class Admittance(Protocol):
    """What a connection remembers of its token."""

    @property
    def token_id(self) -> str:
        """`jti`, of this token and of all that continue it."""

    @property
    def application_subject(self) -> str | None:
        """The application's own id of the person, maybe empty; None when no application vouches for the user."""

    @property
    def token_seconds(self) -> int:
        """How long the token that the gateway makes next is valid."""


class Grant(msgspec.Struct, frozen=True):
    """A token for the next join, which ends together with what admits the connection now."""

    token: str
    life: TokenLife
    token_id: str
    application_subject: str | None
    token_seconds: int

    def __repr__(self) -> str:
        return concealed(self, "token")


class Grants:
    """Makes the tokens of users who are connected.

    A gateway renews by itself what it could give to the user anyway: in `AUTH_MODE=open` everything, with
    `needs_tokens` the tokens of scope `user` and those of hosts. What came from an application or an identity provider
    ends when its token ends, also after a reconnect.
    """

    def __init__(self, tokens: Tokens, *, expires_seconds: int, needs_tokens: bool) -> None:
        self._tokens = tokens
        self._expires_seconds = expires_seconds
        self._needs_tokens = needs_tokens

    def of(self, session_id: str, user: User, claims: Claims | None, connection_id: str) -> Grant:
        """The grant of a user who has joined, by a token with these claims or without a token."""
        if claims is None:
            return self._renewable(session_id, user, _Origin(connection_id, None), self._expires_seconds)
        origin = _Origin(claims.token_id or connection_id, _application_subject(claims))
        if origin.application_subject is not None and self._needs_tokens:
            return self._borrowed(session_id, user, origin, claims)
        # A token that was minted for a minute stays one: its successors end as soon.
        is_users = claims.scope in {"user", "sessions:join"}
        seconds = min(_life_of(claims), self._expires_seconds) if is_users else self._expires_seconds
        return self._renewable(session_id, user, origin, seconds)

    def renewed(self, session_id: str, user: User, admittance: Admittance) -> Grant:
        """The grant that follows one which the gateway renews by itself."""
        origin = _Origin(admittance.token_id, admittance.application_subject)
        return self._renewable(session_id, user, origin, admittance.token_seconds)

    async def refreshed(self, session_id: str, user: User, connection_id: str, token: str) -> Grant:
        """The grant of a connected user by another token. Raises RefreshRefusedError."""
        try:
            claims = await self._tokens.verify_token(token, scopes=JOIN.scopes, session_id=session_id)
        except (TokenScopeError, TokenSessionError) as error:
            raise _refused("forbidden", str(error)) from error
        except TokenError as error:
            raise _refused("unauthorized", str(error)) from error
        except KeysUnavailableError as error:
            message = "the token can't be checked right now"
            data = ErrorData("unavailable", message, retryable=True, field="token", retry_after_ms=RETRY_MS)
            raise RefreshRefusedError(data) from error
        if not _is_of(claims, session_id, user):
            raise _refused("forbidden", "the token is of another user")
        return self.of(session_id, user, claims, connection_id)

    def _renewable(self, session_id: str, user: User, origin: "_Origin", seconds: int) -> Grant:
        life = TokenLife(seconds, seconds, is_renewed_here=True, jitter=random.random())  # noqa: S311 - spreads load
        return self._grant(session_id, user, origin, life, seconds)

    def _borrowed(self, session_id: str, user: User, origin: "_Origin", claims: Claims) -> Grant:
        left = max(1, _end_of(claims) - int(time.time()))
        life = TokenLife(left, _life_of(claims), is_renewed_here=False)
        return self._grant(session_id, user, origin, life, left)

    def _grant(self, session_id: str, user: User, origin: "_Origin", life: TokenLife, seconds: int) -> Grant:
        assert user.id is not None
        claims = msgspec.structs.replace(Claims.user(session_id, user.id, user.name), **origin._asdict())
        token = self._tokens.create_access_token(claims, expires_seconds=seconds)
        return Grant(token, life, origin.token_id, origin.application_subject, seconds)


class _Origin(NamedTuple):
    """The token that admitted the user first: its `jti`, and the application's `sub`."""

    token_id: str
    application_subject: str | None


def _application_subject(claims: Claims) -> str | None:
    """The application's own id of the person, maybe empty; None when no application vouches for the user."""
    if claims.scope == "sessions:join" or (claims.scope == "user" and claims.issuer != ISSUER):
        return claims.subject or ""
    return claims.application_subject if claims.scope == "user" else None


def _is_of(claims: Claims, session_id: str, user: User) -> bool:
    """Whether a token that admits to the session may continue this user's connection."""
    user_id = claims.user_id_in(session_id)
    if user_id is not None:
        return user_id == user.id
    # The token of a host names nobody; an application's without `sub` names a new user at each join.
    return claims.scope != "sessions:join" or claims.name == user.name


def _end_of(claims: Claims) -> int:
    assert claims.expires_at is not None  # no token is verified without
    return claims.expires_at


def _life_of(claims: Claims) -> int:
    """For how long the token was valid when it was issued."""
    return max(1, _end_of(claims) - (claims.issued_at or int(time.time())))


def _refused(code: str, message: str) -> RefreshRefusedError:
    return RefreshRefusedError(ErrorData(code, message, field="token"))
