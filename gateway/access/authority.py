"""Decides what a caller may do in a session: one function for every operation of the REST API and for joins."""

import enum
import hashlib

import msgspec

from gateway.access.claims import Claims, Scope
from gateway.access.directory import Directory
from gateway.access.token_errors import TokenError, TokenScopeError, TokenSessionError
from gateway.access.tokens import Tokens


class Anonymous(enum.Enum):
    """Whom an operation serves without a token, in `AUTH_MODE=open`; in `AUTH_MODE=token` it is nobody."""

    NOBODY = "nobody"
    EVERYBODY = "everybody"
    WITHOUT_PASSWORD = "everybody, when the session has no password"  # noqa: S105 - no password


class Permission(msgspec.Struct, frozen=True):
    """Which tokens allow an operation, and whom the operation serves without a token."""

    scopes: tuple[Scope, ...]
    anonymous: Anonymous = Anonymous.NOBODY


_READERS: tuple[Scope, ...] = ("user", "sessions:join", "host", "publish", "spirit", "admin")
CREATE = Permission(("sessions:create", "admin"), Anonymous.EVERYBODY)
JOIN = Permission(("user", "sessions:join", "host", "admin"), Anonymous.EVERYBODY)
LOOK = Permission(_READERS, Anonymous.EVERYBODY)
READ = Permission(_READERS, Anonymous.WITHOUT_PASSWORD)
PUBLISH = Permission(("host", "publish", "spirit", "admin"))
MODERATE = Permission(("host", "admin"))
ADMINISTER = Permission(("admin",))


class TokenMissingError(Exception):
    """This needs a token."""


class CallerRemovedError(Exception):
    """The token's user was removed from the session."""


class SessionMissingError(Exception):
    """There is no such session."""


class Caller(msgspec.Struct, frozen=True):
    """Who asks. `claims` is None for a caller without a token that allows what is asked."""

    claims: Claims | None = None
    identity: str | None = None
    """The same for all tokens of one subject, else one token's own; it holds no token."""


class Authority:
    """Checks callers. With `needs_tokens` (`AUTH_MODE=token`) nobody is served without a token."""

    def __init__(self, tokens: Tokens, directory: Directory, *, needs_tokens: bool) -> None:
        self._tokens = tokens
        self._directory = directory
        self._needs_tokens = needs_tokens

    async def caller(self, token: str | None, permission: Permission, session_id: str | None) -> Caller:
        """Who asks, when the operation is allowed in the session (None: the operation concerns no session).

        A token that is not genuine or has expired is refused, also where none is needed. A genuine token that does not
        allow the operation gives the rights of a caller without a token.

        Raises TokenError, TokenMissingError, CallerRemovedError, SessionMissingError, and what the methods of `Tokens`
        and `Directory` raise.
        """
        refusal: TokenError | None = None
        if token is not None:
            try:
                claims = await self._tokens.verify_token(token, scopes=permission.scopes, session_id=session_id)
            except (TokenScopeError, TokenSessionError) as error:
                refusal = error
            else:
                if session_id is not None:
                    await self._check_removed(claims, session_id)
                return Caller(claims, _identity(claims, token))
        if await self._serves_without_token(permission, session_id):
            return Caller()
        raise refusal or TokenMissingError

    async def _check_removed(self, claims: Claims, session_id: str) -> None:
        user_id = claims.user_id_in(session_id)
        if user_id is not None and await self._directory.is_removed(session_id, user_id):
            raise CallerRemovedError

    async def _serves_without_token(self, permission: Permission, session_id: str | None) -> bool:
        if self._needs_tokens or permission.anonymous is Anonymous.NOBODY:
            return False
        if permission.anonymous is Anonymous.EVERYBODY or session_id is None:
            return True
        has_password = await self._directory.has_password(session_id)
        if has_password is None:
            raise SessionMissingError
        return not has_password


def _identity(claims: Claims, token: str) -> str:
    if claims.subject is not None:
        return f"sub {claims.issuer} {claims.subject}"
    if claims.token_id is not None:
        return f"jti {claims.issuer} {claims.token_id}"
    return f"token {hashlib.sha256(token.encode()).hexdigest()}"
