"""The cache of an identity provider's keys: what is read, when a fetch is wanted, and what is used meanwhile."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from gateway.access.key_set import (
    DEFAULT_FRESH_SECONDS,
    FETCH_INTERVAL_SECONDS,
    MAX_FRESH_SECONDS,
    KeySet,
    KeySetError,
    fresh_seconds,
    read_keys,
)
from gateway.access.signatures import Key
from tests.identity_provider import Json, SigningKey, key_set

HOUR = 3600.0
KEY, OTHER = Key("RS256", "one"), Key("RS256", "other")


@pytest.fixture(scope="module")
def keys() -> list[SigningKey]:
    return [SigningKey("RS256", "rsa"), SigningKey("ES256", "ec"), SigningKey("EdDSA", "ed")]


def document(*described: Json) -> bytes:
    return json.dumps({"keys": described}).encode()


def test_the_key_decides_about_the_algorithm(keys: list[SigningKey]) -> None:
    """Each key has one algorithm: the one that it states, or else that of its type."""
    silent = [{name: value for name, value in key.jwk.items() if name not in {"alg", "use"}} for key in keys]
    for stated in (key_set(*keys), document(*silent)):
        assert {name: key.algorithm for name, key in read_keys(stated).items()} == {
            "rsa": "RS256",
            "ec": "ES256",
            "ed": "EdDSA",
        }


def test_keys_for_other_purposes_are_left_out(keys: list[SigningKey]) -> None:
    """Secrets, keys for encryption, weak keys, other algorithms and damaged keys do not become keys."""
    good, jwk = keys[0], keys[0].jwk
    short = rsa.generate_private_key(65_537, 1024)  # noqa: S505 - a weak key on purpose
    weak = RSAAlgorithm.to_jwk(short.public_key(), as_dict=True)
    others: list[Json] = [
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256"},
        {**jwk, "kid": "encryption", "use": "enc"},
        {**jwk, "kid": "signs only", "key_ops": ["sign"]},
        {**jwk, "kid": "other algorithm", "alg": "RS512"},
        {**jwk, "kid": "HMAC", "alg": "HS256"},
        {**jwk, "kid": "none", "alg": "none"},
        {**jwk, "kid": "an algorithm of another type", "alg": "ES256"},
        {**weak, "kid": "weak"},
        {**jwk, "kid": 7},
        {**jwk, "kid": "damaged", "n": "!"},
        {"kty": "RSA", "kid": "empty"},
        {"kty": [], "kid": "a list"},
        {"kid": "no type"},
        {**jwk, "kid": "rsa", "n": weak["n"]},
    ]
    found = read_keys(document(jwk, *others))
    assert list(found) == ["rsa"]
    assert found["rsa"].material.public_numbers() == good.private.public_key().public_numbers()


def test_a_private_key_that_was_published_only_verifies() -> None:
    """What is kept is the public key."""
    key = SigningKey("RS256", "rsa")
    private = RSAAlgorithm.to_jwk(key.private, as_dict=True)
    assert not hasattr(
        read_keys(document({**private, "kid": "rsa", "key_ops": ["sign", "verify"]}))["rsa"].material, "sign"
    )


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"{}", b'{"keys": 7}', b'{"keys": []}', b'{"keys": [7]}', b"[" * 9999]
)
def test_what_is_no_key_set_is_told(text: bytes) -> None:
    """A document without a usable key is an error."""
    with pytest.raises(KeySetError):
        read_keys(text)


def test_the_only_key_needs_no_id() -> None:
    """A token without `kid` means the only key of a set, and no key of a set with several."""
    one, two = KeySet(), KeySet()
    one.fetched({None: KEY}, HOUR, 0.0)
    two.fetched({"a": KEY, "b": OTHER}, HOUR, 0.0)
    assert (one.find(None), two.find(None), two.find("b")) == (KEY, None, OTHER)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", DEFAULT_FRESH_SECONDS),
        ("public, max-age=600, must-revalidate", 600.0),
        ("MAX-AGE = 600", 600.0),
        ('max-age="600"', 600.0),
        ("s-maxage=600", DEFAULT_FRESH_SECONDS),
        ("max-age=0", FETCH_INTERVAL_SECONDS),
        ("max-age=999999999", MAX_FRESH_SECONDS),
        ("no-store, max-age=600", FETCH_INTERVAL_SECONDS),
        ("no-cache", FETCH_INTERVAL_SECONDS),
        ("max-age=soon", DEFAULT_FRESH_SECONDS),
    ],
)
def test_cache_control_bounds_how_long_a_set_is_fresh(header: str, seconds: float) -> None:
    """An answer is fresh as long as it says, from the interval between fetches up to a day."""
    assert fresh_seconds(header) == seconds


def test_a_fresh_set_is_fetched_again_only_for_an_unknown_key() -> None:
    """A known key of a fresh set needs no fetch; an unknown one does, but not within 10 s of the last attempt."""
    known = KeySet()
    assert known.wants_fetch("a", 0.0)
    known.fetching(0.0)
    known.fetched({"a": KEY}, HOUR, 0.1)
    assert not known.wants_fetch("a", 100.0)
    assert not known.wants_fetch("b", 9.9)
    assert known.wants_fetch("b", 10.0)
    known.fetching(10.0)
    assert not any(known.wants_fetch(f"invented {number}", 10.0 + number / 1000) for number in range(10_000 - 1))
    assert known.wants_fetch("a", HOUR + 0.1)


def test_an_identity_provider_that_is_away_for_an_hour_refuses_no_known_key() -> None:
    """The stale set is used until a fetch succeeds; attempts are 10 s apart, and a removed key is then gone."""
    known = KeySet()
    known.fetching(0.0)
    known.fetched({"a": KEY, "b": OTHER}, 60.0, 0.0)
    attempts = 0
    for second in range(60, 60 + 3600):
        if known.wants_fetch("a", float(second)):
            known.fetching(float(second))
            known.failed()
            attempts += 1
        assert known.find("a") == KEY
    assert attempts == 360
    assert known.has_failed
    known.fetched({"b": OTHER}, 60.0, 3700.0)
    assert (known.find("a"), known.find("b"), known.has_failed) == (None, OTHER, False)
