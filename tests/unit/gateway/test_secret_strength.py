"""The estimate of a secret's entropy."""

import secrets

import pytest

from gateway.secret_strength import LEAST_BITS, entropy_bits


@pytest.mark.parametrize(
    "secret",
    [
        *["a" * 32, "ab" * 16, "abcdefgh" * 4, "0123456789abcdef" * 2, "changeme" * 4, "x" * 100, ""],
        *["please-change-me-please-change-me", "0" * 25 + "123456789abcdef", "a" * 31 + "b", "1234567890" * 10],
    ],
)
def test_repeated_characters_tell_little(secret: str) -> None:
    """What is repeated, or uneven, is weaker than 128 bits, however long."""
    assert entropy_bits(secret) < LEAST_BITS


def test_random_secrets_are_strong_enough() -> None:
    """128 random bits are enough in every common form, though no short text has each character equally often."""
    for _ in range(200):
        for secret in (
            secrets.token_hex(16),
            secrets.token_hex(32),
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(24),
        ):
            assert entropy_bits(secret) >= LEAST_BITS
    assert entropy_bits("0f1e2d3c4b5a69788796a5b4c3d2e1f0") == LEAST_BITS
