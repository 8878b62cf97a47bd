"""Checks the form, the signature and the times of a JWT (RFC 7519) with a given key; pure."""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jwt
from jwt.utils import base64url_decode

from gateway.access.token_errors import TokenExpiredError, TokenMalformedError, TokenSignatureError

# Clocks of hosts differ: a token is valid from so many seconds before `iat` and `nbf` to so many seconds after `exp`.
LEEWAY_SECONDS = 5
# Séance's tokens have about 400 characters; a token over this limit is refused unparsed.
MAX_TOKEN_CHARACTERS = 4096

# PyJWT passes over padding, which would make two texts of one token.
_is_compact = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*").fullmatch


class Key(NamedTuple):
    """A key that verifies signatures of exactly one algorithm, whatever a token's header says (RFC 8725, 3.1)."""

    algorithm: str
    material: Any
    """The bytes of a secret, or a public key of the package cryptography."""


class Expected(NamedTuple):
    """What a payload must say: `issuer` and `audience` are not checked when None; `required` claims must be there."""

    issuer: str | None
    audience: str | None
    required: Sequence[str]


class Header(NamedTuple):
    """What a token's header says before anything is verified; good only to choose the key."""

    key_id: str | None
    algorithm: str


def unverified_header(token: str) -> Header:
    """The header of a token in compact form. Raises TokenMalformedError."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenMalformedError(f"the token is malformed: longer than {MAX_TOKEN_CHARACTERS} characters")
    if not _is_compact(token):
        raise TokenMalformedError("the token is malformed: not a JWT, which has three parts of base64url")
    header = _object(token.partition(".")[0])
    key_id, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
        raise TokenMalformedError("the token is malformed: `alg` and `kid` of its header must be texts")
    return Header(key_id, algorithm)


def verified_payload(token: str, key: Key, expected: Expected) -> dict[str, object]:
    """The payload of a genuine token that is valid now.

    Raises TokenSignatureError, TokenExpiredError or TokenMalformedError.
    """
    try:
        payload: dict[str, object] = jwt.decode(
            token,
            key.material,
            algorithms=[key.algorithm],
            issuer=expected.issuer,
            audience=expected.audience,
            leeway=LEEWAY_SECONDS,
            options={"require": list(expected.required), "verify_iss": expected.issuer is not None},
        )
    except jwt.ExpiredSignatureError as exc:
        raise TokenExpiredError("the token has expired") from exc
    except jwt.InvalidSignatureError as exc:
        raise TokenSignatureError("the token's signature is wrong") from exc
    except jwt.InvalidAlgorithmError as exc:
        raise TokenSignatureError(f"the token is not signed with {key.algorithm}, the algorithm of its key") from exc
    except jwt.MissingRequiredClaimError as exc:
        raise TokenMalformedError(f"the token is malformed: no claim `{exc.claim}`") from exc
    except jwt.InvalidIssuerError as exc:
        raise TokenMalformedError(f"the token is malformed: `iss` is not `{expected.issuer}`") from exc
    except jwt.InvalidAudienceError as exc:
        wanted = "must be absent" if expected.audience is None else f"does not hold `{expected.audience}`"
        raise TokenMalformedError(f"the token is malformed: `aud` {wanted}") from exc
    except jwt.ImmatureSignatureError as exc:
        raise TokenMalformedError("the token is not valid yet; is the issuer's clock right?") from exc
    except (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError) as exc:
        raise TokenMalformedError("the token is malformed: not a JWT that was issued here") from exc
    _object(token.split(".")[1])
    return {**payload, **_times(payload)}


def _times(payload: dict[str, object]) -> dict[str, int]:
    """The instants of the payload (NumericDate, RFC 7519, section 2) in whole seconds. Raises TokenMalformedError."""
    times: dict[str, int] = {}
    for claim in ("exp", "iat", "nbf"):
        value = payload.get(claim)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TokenMalformedError(f"the token is malformed: `{claim}` must be a number")
        times[claim] = int(value)
    return times


def _object(segment: str) -> dict[str, Any]:
    """A part of a token as an object without repeated names (RFC 7519, section 4). Raises TokenMalformedError."""
    try:
        # Decoded first: given bytes, the parser would take UTF-16 too.
        decoded = json.loads(base64url_decode(segment).decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise TokenMalformedError("the token is malformed: a part is not JSON, or has a name twice") from exc
    if not isinstance(decoded, dict):
        raise TokenMalformedError("the token is malformed: a part is not a JSON object")
    return decoded


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name is there twice")
    return result
