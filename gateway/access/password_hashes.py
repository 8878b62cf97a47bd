"""argon2id hashes of passwords (RFC 9106). Both functions compute: call them in a thread, never in the event loop."""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type


class PasswordHashError(Exception):
    """The stored hash is damaged (or memory ran out), so that no password can be checked against the hash."""


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
