"""Attempts at a session's password: counted over all gateways before any hash is computed."""

from collections.abc import Mapping
from typing import Protocol

from gateway.access.passwords import Passwords
from gateway.limits.addresses import subject_of


class Limits(Protocol):
    """What holds clients to rates: gateway/limits/limiter.py."""

    async def spend(self, place: str, needs: Mapping[str, str]) -> None:
        """Take a token for each need (limit → subject), or none and raise RateLimitedError."""
        ...


class Attempts:
    """Verifies passwords within LIMIT_ATTEMPTS (one address, one session) and LIMIT_ATTEMPTS_SESSION.

    A right password counts like a wrong one, and gives nothing back: else whoever knows one session's password could
    guess on. Tokens need no password, so they never count.
    """

    def __init__(self, passwords: Passwords, limits: Limits) -> None:
        self._passwords = passwords
        self._limits = limits

    async def verify(self, password: str, password_hash: str, *, session_id: str, address: str) -> bool:
        """Whether the password is right. Raises RateLimitedError, PasswordHashError, PasswordsBusyError."""
        subject = f"{session_id} {subject_of(address)}"
        await self._limits.spend(session_id, {"attempts": subject, "attempts_session": session_id})
        return await self._passwords.verify(password, password_hash, session_id=session_id)
