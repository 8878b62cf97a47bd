"""Access tokens: who may do what in which session, as JWTs signed with the installation's secret."""

import time
from collections.abc import Collection
from typing import Annotated, Literal, Self

import jwt
import msgspec
from msgspec import Meta

ALGORITHM = "HS256"
ISSUER = "seance"
# Clocks of different hosts differ; a token is good this many seconds before `iat` and after `exp`.
LEEWAY_SECONDS = 5
# Ours have about 300 characters; whatever is longer is not parsed at all.
MAX_TOKEN_CHARACTERS = 4096

Scope = Literal["user", "host", "publish"]
Text = Annotated[str, Meta(min_length=1, max_length=255)]


class TokenError(Exception):
    """The token is no proof of anything: missing, malformed, signed by someone else or expired."""


class TokenMalformedError(TokenError):
    """It is no JWT, or its claims are not those of an access token. Use a token as it was issued."""


class TokenSignatureError(TokenError):
    """It was signed with another secret or algorithm. Sign with this installation's JWT_SECRET (HS256)."""


class TokenExpiredError(TokenError):
    """Its time is over. Get a new one."""


class TokenScopeError(TokenError):
    """It is genuine, but its scope does not allow this."""


class TokenSessionError(TokenError):
    """It is genuine, but bound to another session."""


class Claims(msgspec.Struct, frozen=True, kw_only=True, rename={"session_id": "sid", "user_id": "sub"}):
    """What a token says.

    Scope `user`: this user (`user_id`, `name`) of the session `session_id`. Scope `host`: the host of `session_id`.
    Scope `publish`: a server that publishes into `session_id`, or into every session when it is None.
    """

    scope: Scope
    session_id: Text | None = None
    user_id: Text | None = None
    name: Text | None = None

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
    """Mints and verifies access tokens with the secret (at least 32 bytes); they are good for `expires_seconds`."""

    def __init__(self, secret: str, expires_seconds: int) -> None:
        self._secret = secret
        self._expires_seconds = expires_seconds

    def create_access_token(self, claims: Claims, *, expires_seconds: int | None = None) -> str:
        """A signed token with these claims, issued now; it expires after `expires_seconds` (default: the setting)."""
        issued_at = int(time.time())
        lifetime = self._expires_seconds if expires_seconds is None else expires_seconds
        stated = {name: value for name, value in msgspec.to_builtins(claims).items() if value is not None}
        payload = {"iss": ISSUER, "iat": issued_at, "exp": issued_at + lifetime, **stated}
        return jwt.encode(payload, self._secret, algorithm=ALGORITHM)

    def verify_token(
        self, token: str, *, scopes: Collection[Scope] | None = None, session_id: str | None = None
    ) -> Claims:
        """The claims of a genuine token that has one of the scopes and fits the session (each: when given).

        Raises TokenMalformedError, TokenSignatureError or TokenExpiredError when the token proves nothing,
        TokenScopeError or TokenSessionError when it is genuine but does not allow this.
        """
        claims = _claims(self._payload(token))
        if scopes is not None and claims.scope not in scopes:
            wanted = " or ".join(f"`{scope}`" for scope in sorted(scopes))
            raise TokenScopeError(f"this needs a token with scope {wanted}; this one has `{claims.scope}`")
        if session_id is not None and claims.session_id not in (None, session_id):
            raise TokenSessionError("the token is bound to another session")
        return claims

    def _payload(self, token: str) -> dict[str, object]:
        """The payload of a genuine token that is good now."""
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
    """The claims that matter here; others are of no concern."""
    try:
        return msgspec.convert(payload, Claims)
    except msgspec.ValidationError as exc:
        raise TokenMalformedError(f"the token is malformed: {exc}") from exc
