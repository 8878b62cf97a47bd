"""Password hashes: memory-hard, salted, verified off the event loop and in bounded numbers."""

import asyncio
import unicodedata
from collections.abc import Iterator

import pytest

from gateway.access.passwords import (
    PasswordHashError,
    Passwords,
    PasswordsBusyError,
    get_password_hash,
    verify_password,
)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    pool = Passwords(threads=1, waiting=2)
    yield pool
    pool.close()


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


def test_composition_does_not_matter() -> None:
    """An accented letter verifies however the keyboard composed it."""
    stored = get_password_hash(unicodedata.normalize("NFD", "séance-séance"))
    assert verify_password(unicodedata.normalize("NFC", "séance-séance"), stored)


@pytest.mark.parametrize("stored", ["", "plain text", "$argon2id$v=19$m=19456"])
def test_damaged_hash(stored: str) -> None:
    """A damaged hash is an error of its own, not a wrong password."""
    with pytest.raises(PasswordHashError, match="can't be verified"):
        verify_password("open sesame", stored)


async def test_pool_hashes_and_verifies(passwords: Passwords) -> None:
    """The pool gives what the functions give."""
    stored = await passwords.hash("open sesame")
    assert await passwords.verify("open sesame", stored)
    assert not await passwords.verify("open barley", stored)
    with pytest.raises(PasswordHashError):
        await passwords.verify("open sesame", "damaged")


async def test_pool_is_bounded(passwords: Passwords) -> None:
    """Calls beyond the bound are refused at once, and places become free again."""
    calls = [asyncio.create_task(passwords.hash(f"password {n}")) for n in range(5)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 2
    assert sum(isinstance(result, PasswordsBusyError) for result in results) == 3
    assert await passwords.hash("afterwards")


async def test_loop_stays_free(passwords: Passwords) -> None:
    """The event loop runs other tasks while a password is hashed."""
    turns = 0
    task = asyncio.create_task(passwords.hash("open sesame"))
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
