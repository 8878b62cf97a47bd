"""Revocations of this gateway: known in memory, told to every gateway over Redis, kept in Redis and in Postgres."""

import asyncio
import time
from collections.abc import Callable, Collection
from math import ceil

import msgspec
import structlog

from broker.errors import BrokerError
from broker.sessions.revocations import Claim, Revocation, RevocationHash, decode
from gateway.access.claims import Claims
from gateway.access.revoked import RevokedTokens
from gateway.access.token_errors import KeysUnavailableError
from persistence.errors import PersistenceError
from persistence.revocations import StoredRevocations

# The longest life that JWT_EXPIRES_SECONDS can give a token: of a token that is only named, no more is known.
LONGEST_TOKEN_SECONDS = 31_536_000
# About 25 MB in each gateway. Revocations are made by an administrator, one by one.
MAX_REVOCATIONS = 100_000

log = structlog.get_logger()


class TooManyRevocationsError(Exception):
    """MAX_REVOCATIONS are in force; nothing was done."""


class NotInForceError(Exception):
    """A server is away, so that a revocation is not in force everywhere, or not for good; the message says which."""


class Revocations:
    """`is_known` says whether this gateway has read the revocations since its start.

    `on_revoked`, which the composition root sets, ends the connections that new revocations cover.
    """

    def __init__(self, kept: RevocationHash, stored: StoredRevocations) -> None:
        self._kept = kept
        self._stored = stored
        self._revoked = RevokedTokens()
        self.is_known = False
        self.on_revoked: Callable[[RevokedTokens], None] = _nothing

    @property
    def count(self) -> int:
        """How many revocations this gateway knows."""
        return len(self._revoked)

    def cover(self, claims: Claims) -> bool:
        """Whether a token with these claims is revoked. Raises KeysUnavailableError before the first `load`."""
        if not self.is_known:
            raise KeysUnavailableError
        subjects = (claims.subject, claims.application_subject)
        return self._revoked.covers(claims.token_id, subjects, claims.issued_at or 0)

    def heard(self, payload: bytes) -> None:
        """A message of the control channel."""
        try:
            self._learn((decode(payload),))
        except msgspec.DecodeError as error:
            log.warning("revocation.unreadable", reason=str(error))

    async def revoke(self, claim: Claim, value: str) -> Revocation:
        """Refuse the token with this `jti`, or every token of this `sub` issued until now, from now on, everywhere.

        Raises TooManyRevocationsError, and NotInForceError: then it is in force as far as the message says, and a
        repetition is safe.
        """
        if len(self._revoked) >= MAX_REVOCATIONS:
            raise TooManyRevocationsError
        now = ceil(time.time())
        revocation = Revocation(claim, value, now, now + LONGEST_TOKEN_SECONDS)
        self._learn((revocation,))
        # Both at once: a gateway must hear of the revocation even while Postgres is slow or away.
        told, stored = await asyncio.gather(
            self._kept.publish(revocation), self._stored.add((revocation,)), return_exceptions=True
        )
        for error in (told, stored):
            if isinstance(error, BaseException) and not isinstance(error, BrokerError | PersistenceError):
                raise error
        if told is not None:
            raise NotInForceError("Redis can't be reached: the other gateways do not know of the revocation yet")
        if stored is not None:
            raise NotInForceError("the revocation is in force, but Postgres can't be reached to keep it")
        return revocation

    async def load(self) -> None:
        """Read what Postgres and Redis hold, and give each what only the other one has. Raises PersistenceError.

        Without Postgres, what Redis holds is known afterwards all the same.
        """
        kept = await self._in_redis()
        self._learn(kept)
        stored = await self._stored.in_force()
        self._learn(stored)
        self.is_known = True
        missing_in_redis, missing_in_postgres = _missing(kept, stored), _missing(stored, kept)
        if missing_in_postgres:
            await self._stored.add(missing_in_postgres)
        try:
            await self._kept.keep(missing_in_redis)
        except BrokerError as error:
            log.info("revocations.not_kept", reason=str(error))
        log.info("revocations.loaded", known=self.count, redis=len(kept), postgres=len(stored))

    async def load_stored(self) -> None:
        """Read what Postgres holds. Raises PersistenceError."""
        self._learn(await self._stored.in_force())
        self.is_known = True

    def do_without_postgres(self) -> None:
        """Postgres has not answered for too long: what Redis held has to be enough."""
        self.is_known = True

    async def _in_redis(self) -> list[Revocation]:
        try:
            return await self._kept.in_force(time.time())
        except BrokerError as error:
            log.info("revocations.not_in_redis", reason=str(error))
            return []

    def _learn(self, revocations: Collection[Revocation]) -> None:
        self._revoked.forget_expired(time.time())
        new = RevokedTokens()
        for revocation in revocations:
            if self._revoked.add(revocation):
                new.add(revocation)
        if new:
            self.on_revoked(new)


def _missing(held: Collection[Revocation], others: Collection[Revocation]) -> list[Revocation]:
    """The revocations of `others` that `held` lacks, or has with earlier times."""
    known = RevokedTokens()
    for revocation in held:
        known.add(revocation)
    return [revocation for revocation in others if known.add(revocation)]


def _nothing(revoked: RevokedTokens) -> None:
    """Nobody is connected."""
