"""Password hashes: memory-hard and salted."""

import unicodedata

import pytest

from gateway.access.password_hashes import PasswordHashError, get_password_hash, verify_password


def test_hash_is_argon2id_and_salted() -> None:
    """Two hashes of one password differ, are argon2id with 19 MiB, and do not contain the password."""
    first, second = get_password_hash("open sesame"), get_password_hash("open sesame")
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "open sesame" not in first


@pytest.mark.parametrize(
    "password", ["open sesame", "пароль🔮пароль", "  spaces matter  ", "nul\0inside", "\ud800 lone"]
)
def test_the_same_password_verifies(password: str) -> None:
    """A password verifies against its own hash and no other does."""
    stored = get_password_hash(password)
    assert verify_password(password, stored)
    assert not verify_password(password + "x", stored)


def test_a_password_verifies_in_any_unicode_composition() -> None:
    """An accented letter verifies in every Unicode composition."""
    stored = get_password_hash(unicodedata.normalize("NFD", "séance-séance"))
    assert verify_password(unicodedata.normalize("NFC", "séance-séance"), stored)


@pytest.mark.parametrize("stored", ["", "plain text", "$argon2id$v=19$m=19456"])
def test_a_damaged_hash_raises_its_own_error(stored: str) -> None:
    """A damaged hash raises PasswordHashError, and does not count as a wrong password."""
    with pytest.raises(PasswordHashError, match="can't be verified"):
        verify_password("open sesame", stored)
