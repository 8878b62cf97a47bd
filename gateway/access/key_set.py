"""The public keys of an identity provider (JWK Set, RFC 7517): which are known, and when to fetch them again; pure."""

import re
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from jwt.exceptions import PyJWTError

from gateway.access.signatures import Key

# Attempts to fetch are at least so many seconds apart, whatever asks for them.
FETCH_INTERVAL_SECONDS = 10.0
# How long a set is fresh whose answer does not say so, and the longest time that an answer may ask for.
DEFAULT_FRESH_SECONDS = 300.0
MAX_FRESH_SECONDS = 86_400.0
MAX_KEYS = 100
MIN_RSA_BITS = 2048

_ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
_max_age = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE).search
_forbids_storing = re.compile(r"(?:^|[\s,])no-(?:cache|store)(?:$|[\s,=])", re.IGNORECASE).search


class KeySetError(Exception):
    """The document is no JWK Set, or has no key for RS256, ES256 or EdDSA."""


class _Document(msgspec.Struct):
    keys: list[dict[str, Any]]


_decode = msgspec.json.Decoder(_Document).decode


def read_keys(document: bytes) -> dict[str | None, Key]:
    """The keys that verify signatures, by `kid`; the only key of a set may have none. Raises KeySetError.

    The key decides about the algorithm: its `alg`, else what its type is used for. Keys of other algorithms, secrets,
    keys for encryption, RSA keys with fewer than 2048 bits and keys beyond the hundredth are left out.
    """
    try:
        described = _decode(document).keys[:MAX_KEYS]
    except msgspec.MsgspecError as exc:
        raise KeySetError(f"this is not a JWK Set: {exc}") from exc
    found: dict[str | None, Key] = {}
    for one in described:
        key_id, key = one.get("kid"), _key(one)
        is_named = isinstance(key_id, str) or (key_id is None and len(described) == 1)
        if key is not None and is_named:
            found.setdefault(key_id, key)
    if not found:
        raise KeySetError("the JWK Set has no key with a `kid` for RS256, ES256 or EdDSA")
    return found


def fresh_seconds(cache_control: str) -> float:
    """For how long an answer with this Cache-Control is fresh, between the interval of fetches and a day (RFC 9111)."""
    if _forbids_storing(cache_control):
        return FETCH_INTERVAL_SECONDS
    stated = _max_age(cache_control)
    seconds = DEFAULT_FRESH_SECONDS if stated is None else float(stated[1])
    return min(max(seconds, FETCH_INTERVAL_SECONDS), MAX_FRESH_SECONDS)


class KeySet:
    """The known keys. The caller fetches, and gives the time (seconds of a monotonic clock).

    A stale set is used until a fetch succeeds: an identity provider that is away refuses nobody.
    """

    def __init__(self) -> None:
        self._keys: Mapping[str | None, Key] = {}
        self._fresh_until = 0.0
        self._next_fetch = float("-inf")
        self.has_failed = False
        """Whether the last fetch failed."""

    def find(self, key_id: str | None) -> Key | None:
        """The key with this `kid`; without a `kid` the only key of the set."""
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def wants_fetch(self, key_id: str | None, now: float) -> bool:
        """Whether to fetch now: the set is stale or lacks the key, and the last attempt is long enough ago."""
        if now < self._next_fetch:
            return False
        return now >= self._fresh_until or self.find(key_id) is None

    def fetching(self, now: float) -> None:
        """A fetch begins."""
        self._next_fetch = now + FETCH_INTERVAL_SECONDS

    def fetched(self, keys: Mapping[str | None, Key], seconds: float, now: float) -> None:
        """A fetch succeeded: use these keys, which are fresh for so many seconds."""
        self._keys = keys
        self._fresh_until = now + seconds
        self.has_failed = False

    def failed(self) -> None:
        """A fetch failed: go on with the keys that are known."""
        self.has_failed = True


def _key(described: dict[str, Any]) -> Key | None:
    """The key, or None when the key does not verify signatures of our algorithms."""
    operations = described.get("key_ops", ["verify"])
    is_for_signatures = described.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    # Asked first, since PyJWT reads no key of the algorithm `none`.
    is_ours = described.get("alg") is None or str(described["alg"]) in _ALGORITHMS
    if not is_for_signatures or not is_ours or str(described.get("kty")) not in {"RSA", "EC", "OKP"}:
        return None
    public = {name: value for name, value in described.items() if name != "d"}  # a private key published by mistake
    try:
        key = jwt.PyJWK(public)
    except (PyJWTError, TypeError, ValueError, KeyError):
        return None
    is_weak = key.key_type == "RSA" and key.key.key_size < MIN_RSA_BITS
    return None if is_weak or key.algorithm_name not in _ALGORITHMS else Key(key.algorithm_name, key.key)
