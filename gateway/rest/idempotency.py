"""Idempotency-Key: the same key and body give the same session again, for 24 hours and on every gateway."""

import hashlib
import hmac
import re
from uuid import uuid4

import msgspec
from starlette.requests import Request

from gateway.errors import ApiError, Detail
from gateway.rest.fields import invalid
from gateway.rest.services import Services

HEADER = "Idempotency-Key"

_is_key = re.compile(r"[\x20-\x7e]{1,255}").fullmatch


def read_key(request: Request) -> str | None:
    """The request's key, or None. Raises ApiError 422."""
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _is_key(given[0]):
        raise invalid([Detail(HEADER, f"{HEADER} must be one value of 1 to 255 printable ASCII characters")])
    return given[0]


async def claim(services: Services, key: str, body: msgspec.Struct) -> tuple[str, bool]:
    """Claim the key; returns the id of the key's session, and whether an earlier request claimed the key.

    Raises ApiError 409 when the earlier request had another body.
    """
    secret = services.settings.jwt_secret
    # Keyed hashes: no one can guess a key, or a password in a body, from the data in Redis.
    digest = _keyed(secret, "idempotency key", key.encode())
    fingerprint = _keyed(secret, "idempotency body", msgspec.json.encode(body))
    session_id = str(uuid4())
    first_fingerprint, first_id = await services.live_sessions.remember(digest, fingerprint, session_id)
    if not hmac.compare_digest(fingerprint, first_fingerprint):
        raise ApiError(409, "idempotency_conflict", "the Idempotency-Key was used with another body")
    return first_id, first_id != session_id


def _keyed(secret: str, purpose: str, content: bytes) -> str:
    return hmac.new(secret.encode(), purpose.encode() + b"\0" + content, hashlib.sha256).hexdigest()
