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


def test_a_password_verifies_in_any_unicode_composition() -> None:
    """An accented letter verifies in every Unicode composition."""
    stored = get_password_hash(unicodedata.normalize("NFD", "séance-séance"))
    assert verify_password(unicodedata.normalize("NFC", "séance-séance"), stored)


@pytest.mark.parametrize("stored", ["", "plain text", "$argon2id$v=19$m=19456"])
def test_a_damaged_hash_raises_its_own_error(stored: str) -> None:
    """A damaged hash raises PasswordHashError, and does not count as a wrong password."""
    with pytest.raises(PasswordHashError, match="can't be verified"):
        verify_password("open sesame", stored)


async def test_pool_hashes_and_verifies(passwords: Passwords) -> None:
    """The thread pool gives the results of the plain functions."""
    stored = await passwords.hash("open sesame")
    assert await passwords.verify("open sesame", stored)
    assert not await passwords.verify("open barley", stored)
    with pytest.raises(PasswordHashError):
        await passwords.verify("open sesame", "damaged")


async def test_calls_beyond_the_pools_bound_are_refused(passwords: Passwords) -> None:
    """Calls beyond the bound are refused at once; a finished call makes room for another."""
    calls = [asyncio.create_task(passwords.hash(f"password {n}")) for n in range(5)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 2
    assert sum(isinstance(result, PasswordsBusyError) for result in results) == 3
    assert await passwords.hash("afterwards")


async def test_the_loop_runs_while_a_password_is_hashed(passwords: Passwords) -> None:
    """The event loop runs other tasks while a password is hashed."""
    turns = 0
    task = asyncio.create_task(passwords.hash("open sesame"))
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
