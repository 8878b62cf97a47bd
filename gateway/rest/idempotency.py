"""Idempotency-Key: the same key and body of one caller give the same session again, for 24 hours, on every gateway."""

import contextlib
import hashlib
import hmac
import re
from typing import NamedTuple
from uuid import uuid4

import msgspec
from starlette.requests import Request

from broker.errors import BrokerError
from gateway.access.authority import Caller
from gateway.errors import ApiError, Detail
from gateway.rest.fields import invalid
from gateway.rest.services import Services

HEADER = "Idempotency-Key"

_is_key = re.compile(r"[\x20-\x7e]{1,255}").fullmatch
# A UUID, or base64url of 128 bits and more: nobody guesses such a key.
_is_random = re.compile(r"[A-Za-z0-9_-]{22,255}").fullmatch


class Key(NamedTuple):
    """A key, and the caller to whom it belongs."""

    caller: str
    text: str


class Claimed(NamedTuple):
    """The session of a key; `is_replayed`: an earlier request claimed the key."""

    session_id: str
    is_replayed: bool
    digest: str


def read_key(request: Request, caller: Caller) -> Key | None:
    """The request's key, or None. Raises ApiError 422."""
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _is_key(given[0]):
        raise invalid([Detail(HEADER, f"{HEADER} must be one value of 1 to 255 printable ASCII characters")])
    if caller.identity is None and not _is_random(given[0]):
        problem = (
            f"{HEADER} of a request without a token must be random: a UUID, or 22 characters and more of base64url "
            "(128 bits), such as the output of `uuidgen`"
        )
        raise invalid([Detail(HEADER, problem)])
    return Key(caller.identity or "", given[0])


async def claim(services: Services, key: Key, body: msgspec.Struct) -> Claimed:
    """Claim the key for a new session, or find the session that an earlier request claimed the key for.

    Raises ApiError 409 when the earlier request had another body.
    """
    secret = services.settings.jwt_secret
    # Keyed hashes: no one can guess a key, or a password in a body, from the data in Redis.
    digest = _keyed(secret, "idempotency key", f"{key.caller}\0{key.text}".encode())
    fingerprint = _keyed(secret, "idempotency body", msgspec.json.encode(body))
    session_id = str(uuid4())
    first_fingerprint, first_id = await services.live_sessions.remember(digest, fingerprint, session_id)
    if not hmac.compare_digest(fingerprint, first_fingerprint):
        raise ApiError(409, "idempotency_conflict", "the Idempotency-Key was used with another body")
    return Claimed(first_id, first_id != session_id, digest)


async def release(services: Services, claimed: Claimed) -> None:
    """Give the key back, since its session was not stored; without Redis the key stays claimed."""
    with contextlib.suppress(BrokerError):
        await services.live_sessions.forget(claimed.digest)


def _keyed(secret: str, purpose: str, content: bytes) -> str:
    return hmac.new(secret.encode(), purpose.encode() + b"\0" + content, hashlib.sha256).hexdigest()
