"""The revoked tokens that a gateway knows of. Pure: the caller gives the time."""

from collections.abc import Collection

import msgspec

from broker.sessions.revocations import Claim, Revocation

# A server that mints tokens may be ahead by so many seconds: a token "issued" shortly after the revocation is refused.
SKEW_SECONDS = 5


class _Times(msgspec.Struct, frozen=True, gc=False):
    revoked_at: int
    expires_at: int


class RevokedTokens:
    """A set of revocations."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[Claim, str], _Times] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, revocation: Revocation) -> bool:
        """Take a revocation in; False when it says nothing new."""
        key = (revocation.claim, revocation.value)
        known = self._known.get(key, _Times(0, 0))
        if revocation.revoked_at <= known.revoked_at and revocation.expires_at <= known.expires_at:
            return False
        self._known[key] = _Times(
            max(revocation.revoked_at, known.revoked_at), max(revocation.expires_at, known.expires_at)
        )
        return True

    def covers(self, token_id: str | None, subjects: Collection[str | None], issued_at: int) -> bool:
        """Whether a token with this `jti` and `iat` is revoked; `subjects`: its own `sub`, and the application's."""
        if not self._known:
            return False
        if token_id is not None and ("jti", token_id) in self._known:
            return True
        for subject in subjects:
            times = None if subject is None else self._known.get(("sub", subject))
            if times is not None and issued_at <= times.revoked_at + SKEW_SECONDS:
                return True
        return False

    def forget_expired(self, now: float) -> None:
        """Forget the revocations that are over at `now` (seconds since the epoch)."""
        for key in [key for key, times in self._known.items() if times.expires_at <= now]:
            del self._known[key]

    def all(self) -> list[Revocation]:
        """Every revocation of the set."""
        return [
            Revocation(claim, value, times.revoked_at, times.expires_at)
            for (claim, value), times in self._known.items()
        ]
