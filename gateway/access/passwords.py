"""Session passwords: kept only as argon2id hashes, which a few threads compute so that the event loop never waits."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type

P = ParamSpec("P")
T = TypeVar("T")


class PasswordHashError(Exception):
    """The stored hash is damaged (or memory ran out), so that no password can be checked against the hash."""


class PasswordsBusyError(Exception):
    """Too many passwords wait to be hashed. Nothing was done; retry later."""


def _hasher() -> PasswordHasher:
    """OWASP's parameters for argon2id: 19 MiB, 2 passes, 1 lane; 15 ms a hash on one core of the reference machine."""
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)


def get_password_hash(password: str) -> str:
    """The argon2id hash of the password with a new salt, in PHC format. Takes 15 ms of CPU and 19 MiB."""
    return _hasher().hash(_normal(password))


def verify_password(password: str, password_hash: str) -> bool:
    """Whether the password is the one that was hashed. Takes 15 ms of CPU. Raises PasswordHashError."""
    try:
        return _hasher().verify(password_hash, _normal(password))
    except VerifyMismatchError:
        return False
    except (InvalidHashError, VerificationError) as exc:
        raise PasswordHashError(f"the stored password hash can't be verified: {exc}") from exc


def _normal(password: str) -> bytes:
    """The password's bytes in NFC: keyboards differ in how they compose an accented letter (RFC 8265)."""
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")


class Passwords:
    """Hashes and verifies on `threads` threads; at most `waiting` calls are under way or wait."""

    def __init__(self, *, threads: int = 2, waiting: int = 256) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._free = waiting

    async def hash(self, password: str) -> str:
        """Like `get_password_hash`. Raises PasswordsBusyError."""
        return await self._run(get_password_hash, password)

    async def verify(self, password: str, password_hash: str) -> bool:
        """Like `verify_password`. Raises PasswordHashError, PasswordsBusyError."""
        return await self._run(verify_password, password, password_hash)

    def close(self) -> None:
        """Drop the waiting calls and end the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[P, T], *args: P.args, **_kwargs: P.kwargs) -> T:
        if self._free == 0:
            raise PasswordsBusyError("too many passwords wait to be checked")
        self._free -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)
        finally:
            self._free += 1
