"""Access tokens: JWTs (RFC 7519), signed by us, by an application that has our secret, or by an identity provider."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Collection, Sequence

import jwt
import msgspec

from gateway.access.claims import SCOPES, Claims, Scope
from gateway.access.identity_provider import IdentityProvider
from gateway.access.signatures import Expected, Header, Key, unverified_header, verified_payload
from gateway.access.token_errors import (
    TokenMalformedError,
    TokenRevokedError,
    TokenScopeError,
    TokenSessionError,
    TokenSignatureError,
)

ALGORITHM = "HS256"
ISSUER = "seance"

_EXPECTED = Expected(ISSUER, None, ("exp", "iat", "iss"))
_encode = msgspec.json.Encoder().encode


class Tokens:
    """Mints and verifies access tokens; tokens expire after `expires_seconds`.

    `secret` (at least 32 bytes) signs. `old_secrets` and the keys of `provider` only verify. `is_revoked` tells which
    genuine tokens are refused.
    """

    def __init__(
        self,
        secret: str,
        expires_seconds: int,
        *,
        old_secrets: Sequence[str] = (),
        provider: IdentityProvider | None = None,
        is_revoked: Callable[[Claims], bool] = lambda _: False,
    ) -> None:
        self._secret = secret
        self._expires_seconds = expires_seconds
        self._key_id = key_id_of(secret)
        self._keys = {key_id_of(one): Key(ALGORITHM, one.encode()) for one in (secret, *old_secrets)}
        self._provider = provider
        self._is_revoked = is_revoked

    def create_access_token(self, claims: Claims, *, expires_seconds: int | None = None) -> str:
        """Mint a token with these claims, issued now; it expires after `expires_seconds` (default: the setting)."""
        issued_at = int(time.time())
        lifetime = self._expires_seconds if expires_seconds is None else expires_seconds
        stated = {name: value for name, value in msgspec.to_builtins(claims).items() if value is not None}
        payload = {
            **stated,
            "iss": ISSUER,
            "iat": issued_at,
            "exp": issued_at + lifetime,
            "jti": claims.token_id or secrets.token_urlsafe(16),
        }
        return jwt.encode(payload, self._secret, algorithm=ALGORITHM, headers={"kid": self._key_id})

    async def verify_token(
        self, token: str, *, scopes: Collection[Scope] | None = None, session_id: str | None = None
    ) -> Claims:
        """Verify a token, and the scopes and the session when they are given; returns the claims.

        Raises TokenMalformedError or TokenSignatureError for a token that is not genuine, TokenExpiredError after its
        time, TokenRevokedError, TokenScopeError or TokenSessionError for a genuine token with another scope or session,
        and KeysUnavailableError when the identity provider's keys or the revocations can't be had.
        """
        payload = await self._payload(token, scopes)
        stated = payload.get("scope")
        if scopes is not None and isinstance(stated, str) and stated in SCOPES and stated not in scopes:
            wanted = " or ".join(f"`{scope}`" for scope in sorted(scopes))
            raise TokenScopeError(f"this needs a token with scope {wanted}; this one has `{stated}`")
        claims = _claims(payload)
        self.check_revoked(claims)
        if session_id is not None and claims.session_id not in (None, session_id):
            raise TokenSessionError("the token is bound to another session")
        return claims

    def check_revoked(self, claims: Claims | None) -> None:
        """Raise TokenRevokedError when a token with these claims is revoked by now."""
        if claims is not None and self._is_revoked(claims):
            raise TokenRevokedError("the token was revoked")

    async def _payload(self, token: str, scopes: Collection[Scope] | None) -> dict[str, object]:
        """The payload of a genuine token that has not expired."""
        header = unverified_header(token)
        if (key := self._own_key(header, token)) is not None:
            return verified_payload(token, key, _EXPECTED)
        if self._provider is None:
            if header.algorithm != ALGORITHM:
                raise TokenSignatureError(f"the token is not signed with {ALGORITHM}")
            raise TokenSignatureError(
                "the token's `kid` names no key of this installation; leave `kid` out, or set ours"
            )
        provided = await self._provider.key(header.key_id)
        if provided is None:
            raise TokenSignatureError("the token's `kid` names no key of this installation or its identity provider")
        return self._provider.payload(token, provided, scopes)

    def _own_key(self, header: Header, token: str) -> Key | None:
        """Our key that the header names. A token without a `kid`, as applications make them, may have any of ours."""
        if header.key_id is not None:
            return self._keys.get(header.key_id)
        if header.algorithm != ALGORITHM:
            return None
        signed = (key for key in self._keys.values() if _is_signed_with(key, token))
        return next(signed, self._keys[self._key_id])


def key_id_of(secret: str) -> str:
    """The `kid` of a secret: a keyed hash, which says nothing about the secret."""
    digest = hmac.digest(secret.encode(), b"seance key id", hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:9]).decode()


def _is_signed_with(key: Key, token: str) -> bool:
    signed, _, signature = token.rpartition(".")
    digest = hmac.digest(key.material, signed.encode(), hashlib.sha256)
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"="), signature.encode())


def _claims(payload: dict[str, object]) -> Claims:
    """The claims of Séance; other claims are ignored."""
    try:
        claims = msgspec.convert(payload, Claims)
        _encode(claims)  # half of a surrogate pair could not be stored or sent
    except (msgspec.ValidationError, UnicodeEncodeError) as exc:
        raise TokenMalformedError(f"the token is malformed: {exc}") from exc
    return claims
