"""Revocations: which tokens are refused before their time. Redis keeps them, and one channel tells every gateway."""

from collections.abc import Collection
from typing import Literal

import msgspec
import structlog

from broker.keys import Keys
from broker.redis.link import Link

Claim = Literal["jti", "sub"]

# How many fields Redis reads or writes in one step: less than a millisecond, in which nothing else is answered.
AT_ONCE = 500


class Revocation(msgspec.Struct, frozen=True):
    """The tokens whose `claim` has this value are refused until `expires_at`; of a `sub` those issued by `revoked_at`.

    Both are whole seconds since the epoch.
    """

    claim: Claim
    value: str
    revoked_at: int
    expires_at: int


class _Times(msgspec.Struct, array_like=True):
    revoked_at: int
    expires_at: int


_encode = msgspec.json.Encoder().encode
_decode_times = msgspec.json.Decoder(_Times).decode
decode = msgspec.json.Decoder(Revocation).decode

log = structlog.get_logger()


class RevocationHash:
    """The hash of all revocations in Redis, and their channel. Methods raise BrokerError."""

    def __init__(self, link: Link, *, keys: Keys) -> None:
        self._link = link
        self._key = keys.revocations
        self.channel = keys.control.encode()

    async def publish(self, revocation: Revocation) -> None:
        """Keep the revocation, and tell every gateway."""
        await self.keep((revocation,))
        await self._link.call("PUBLISH", self.channel, _encode(revocation))

    async def keep(self, revocations: Collection[Revocation]) -> None:
        """Keep these revocations."""
        fields = [(f"{one.claim} {one.value}", _encode(_Times(one.revoked_at, one.expires_at))) for one in revocations]
        for start in range(0, len(fields), AT_ONCE):
            page = fields[start : start + AT_ONCE]
            await self._link.call("HSET", self._key, *(part for field in page for part in field))

    async def in_force(self, now: float) -> list[Revocation]:
        """Every revocation that is in force at `now` (seconds since the epoch); the others are forgotten."""
        cursor = b"0"
        found: list[Revocation] = []
        while True:
            cursor, fields = await self._link.call("HSCAN", self._key, cursor, "COUNT", AT_ONCE)
            pairs = zip(fields[::2], fields[1::2], strict=True)
            read = [one for name, times in pairs if (one := _read(name, times)) is not None]
            found += [one for one in read if one.expires_at > now]
            over = [f"{one.claim} {one.value}" for one in read if one.expires_at <= now]
            if over:
                await self._link.call("HDEL", self._key, *over)
            if cursor == b"0":
                return found


def _read(name: bytes, times: bytes) -> Revocation | None:
    """A field of the hash; None for one that this version can't read."""
    claim, _, value = name.decode(errors="replace").partition(" ")
    try:
        read = _decode_times(times)
        return msgspec.convert(
            {"claim": claim, "value": value, "revoked_at": read.revoked_at, "expires_at": read.expires_at}, Revocation
        )
    except msgspec.DecodeError as error:
        log.warning("revocation.unreadable", field=claim, reason=str(error))
        return None
