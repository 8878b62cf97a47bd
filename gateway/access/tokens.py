"""Access tokens: JWTs (RFC 7519), signed with the installation's secret, that grant a scope in a session."""

import secrets
import time
from collections.abc import Collection
from typing import Annotated, Literal, Self

import jwt
import msgspec
from msgspec import Meta

ALGORITHM = "HS256"
ISSUER = "seance"
# Clocks of hosts differ: a token is valid from so many seconds before `iat` to so many seconds after `exp`.
LEEWAY_SECONDS = 5
# Séance's tokens have about 300 characters; a token over this limit is refused unparsed.
MAX_TOKEN_CHARACTERS = 4096

Scope = Literal["user", "host", "publish"]
Text = Annotated[str, Meta(min_length=1, max_length=255)]


class TokenError(Exception):
    """The token proves nothing or does not allow the request; each subclass names one cause."""


class TokenMalformedError(TokenError):
    """The token is no JWT, or its claims are not those of an access token. Use the token as it was issued."""


class TokenSignatureError(TokenError):
    """The token was signed with another secret or algorithm. Sign with this installation's JWT_SECRET (HS256)."""


class TokenExpiredError(TokenError):
    """The token has expired. Get a new token."""


class TokenScopeError(TokenError):
    """The token is genuine, but its scope does not allow the request."""


class TokenSessionError(TokenError):
    """The token is genuine, but bound to another session."""


class Claims(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"session_id": "sid", "user_id": "sub", "token_id": "jti", "expires_at": "exp"},
):
    """The claims of a token. Minting adds `token_id` and `expires_at` (seconds since the epoch).

    Scope `user`: this user (`user_id`, `name`) of the session `session_id`. Scope `host`: the host of `session_id`.
    Scope `publish`: a server that publishes into `session_id`, or into every session when it is None.
    """

    scope: Scope
    session_id: Text | None = None
    user_id: Text | None = None
    name: Text | None = None
    token_id: Text | None = None
    expires_at: int | None = None

    def __post_init__(self) -> None:
        if self.session_id is None and self.scope != "publish":
            raise ValueError(f"a token with scope `{self.scope}` needs `sid`")
        if (self.user_id is None or self.name is None) and self.scope == "user":
            raise ValueError("a token with scope `user` needs `sub` and `name`")

    @classmethod
    def user(cls, session_id: str, user_id: str, name: str) -> Self:
        """The claims of a user of the session."""
        return cls(scope="user", session_id=session_id, user_id=user_id, name=name)

    @classmethod
    def host(cls, session_id: str) -> Self:
        """The claims of the host of the session."""
        return cls(scope="host", session_id=session_id)

    @classmethod
    def publish(cls, session_id: str | None = None) -> Self:
        """The claims of a server that publishes into the session, or into every session."""
        return cls(scope="publish", session_id=session_id)


class Tokens:
    """Mints and verifies access tokens with the secret (at least 32 bytes); tokens expire after `expires_seconds`."""

    def __init__(self, secret: str, expires_seconds: int) -> None:
        self._secret = secret
        self._expires_seconds = expires_seconds

    def create_access_token(self, claims: Claims, *, expires_seconds: int | None = None) -> str:
        """Mint a token with these claims, issued now; it expires after `expires_seconds` (default: the setting)."""
        issued_at = int(time.time())
        lifetime = self._expires_seconds if expires_seconds is None else expires_seconds
        token_id = secrets.token_urlsafe(16)
        stated = {name: value for name, value in msgspec.to_builtins(claims).items() if value is not None}
        payload = {"iss": ISSUER, "iat": issued_at, **stated, "exp": issued_at + lifetime, "jti": token_id}
        return jwt.encode(payload, self._secret, algorithm=ALGORITHM)

    def verify_token(
        self, token: str, *, scopes: Collection[Scope] | None = None, session_id: str | None = None
    ) -> Claims:
        """Verify a token, and the scopes and the session when they are given; returns the claims.

        Raises TokenMalformedError or TokenSignatureError for a token that is not genuine, TokenExpiredError after its
        time, TokenScopeError or TokenSessionError for a genuine token with another scope or session.
        """
        claims = _claims(self._payload(token))
        if scopes is not None and claims.scope not in scopes:
            wanted = " or ".join(f"`{scope}`" for scope in sorted(scopes))
            raise TokenScopeError(f"this needs a token with scope {wanted}; this one has `{claims.scope}`")
        if session_id is not None and claims.session_id not in (None, session_id):
            raise TokenSessionError("the token is bound to another session")
        return claims

    def _payload(self, token: str) -> dict[str, object]:
        """The payload of a genuine token that has not expired."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise TokenMalformedError("the token is malformed: too long")
        try:
            return jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss"]},
            )
        except jwt.ExpiredSignatureError as exc:
            raise TokenExpiredError("the token has expired") from exc
        except jwt.InvalidSignatureError as exc:
            raise TokenSignatureError("the token's signature is wrong") from exc
        except jwt.InvalidAlgorithmError as exc:
            raise TokenSignatureError(f"the token is not signed with {ALGORITHM}") from exc
        except jwt.MissingRequiredClaimError as exc:
            raise TokenMalformedError(f"the token is malformed: no claim `{exc.claim}`") from exc
        except jwt.InvalidIssuerError as exc:
            raise TokenMalformedError(f"the token is malformed: `iss` is not `{ISSUER}`") from exc
        except jwt.ImmatureSignatureError as exc:
            raise TokenMalformedError("the token is not valid yet; is the issuer's clock right?") from exc
        except (jwt.InvalidTokenError, ValueError) as exc:
            raise TokenMalformedError("the token is malformed: not a JWT that was issued here") from exc


def _claims(payload: dict[str, object]) -> Claims:
    """The claims of Séance; other claims are ignored."""
    try:
        return msgspec.convert(payload, Claims)
    except msgspec.ValidationError as exc:
        raise TokenMalformedError(f"the token is malformed: {exc}") from exc
