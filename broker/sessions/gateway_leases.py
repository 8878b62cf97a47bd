"""Gateway leases: a gateway proves that it lives, and frees the seats of gateways whose leases have expired."""

import asyncio
from collections.abc import Sequence

from broker.events import instant
from broker.keys import Keys
from broker.redis.link import Link
from broker.redis.scripts import Scripts

RENEW_SECONDS = 3.0
LEASE_MS = 10_000
REAP_SECONDS = 1.0
REAP_AT_ONCE = 100


class GatewayLeases:
    """The leases of one gateway process (`lease` is unique to the process, not to the replica's name)."""

    def __init__(
        self,
        link: Link,
        scripts: Scripts,
        *,
        keys: Keys,
        lease: str,
        lease_ms: int = LEASE_MS,
        reap_at_once: int = REAP_AT_ONCE,
    ) -> None:
        self._link = link
        self._scripts = scripts
        self._keys = keys
        self.lease = lease
        self.lease_ms = lease_ms
        self._reap_at_once = reap_at_once

    async def renew(self) -> set[int]:
        """Take or prolong the leases; returns the partitions that had none (any more).

        After the first time that means: the lease had expired, and others have freed the seats under it.
        """
        expiry = await self._now_ms() + self.lease_ms
        answers = [
            self._link.call("ZADD", self._keys.gateways(partition), "XX", "CH", expiry, self.lease)
            for partition in range(self._keys.partitions)
        ]
        lost = {partition for partition, changed in enumerate(await asyncio.gather(*answers)) if changed == 0}
        if lost:
            await self._set()
        return lost

    async def _set(self) -> None:
        expiry = await self._now_ms() + self.lease_ms
        await asyncio.gather(
            *(
                self._link.call("ZADD", self._keys.gateways(partition), expiry, self.lease)
                for partition in range(self._keys.partitions)
            )
        )

    async def _now_ms(self) -> int:
        # The clock of Redis: a gateway with a fast clock would free the seats of all others, again and again.
        seconds, microseconds = await self._link.call("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def give_up(self) -> None:
        """Let the leases end now; the next gateway that reaps frees the seats that are still held."""
        await asyncio.gather(
            *(
                self._link.call("ZADD", self._keys.gateways(partition), "XX", 0, self.lease)
                for partition in range(self._keys.partitions)
            )
        )

    async def reap(self) -> int:
        """Free the seats of dead gateways and of users whose grace has passed; returns how many were looked at."""
        total = 0
        left: Sequence[int] = range(self._keys.partitions)
        while left:  # all at once: one by one, this was most of the cost of an idle gateway
            answers = [
                self._scripts.call("reap", (self._keys.part(partition),), instant(), self._reap_at_once)
                for partition in left
            ]
            seen = await asyncio.gather(*answers)
            total += sum(seen)
            left = [partition for partition, count in zip(left, seen, strict=True) if count >= self._reap_at_once]
        return total
