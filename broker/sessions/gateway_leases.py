"""Gateway leases: a gateway proves that it lives, and frees the seats of gateways whose leases have expired."""

import asyncio
from collections.abc import Sequence

import msgspec

from broker.events import instant
from broker.keys import Keys
from broker.redis.link import Link
from broker.redis.scripts import Scripts

RENEW_SECONDS = 3.0
LEASE_MS = 10_000
REAP_SECONDS = 1.0
REAP_AT_ONCE = 100


class Renewal(msgspec.Struct, frozen=True):
    """What a renewal found.

    `lost` are the partitions in which others have condemned the lease, and free the seats under it. `is_late` says that
    less than half of a lease was left: this process, or Redis, has slept, or the clock of Redis was moved.
    """

    lost: frozenset[int]
    is_late: bool


class GatewayLeases:
    """The leases of one gateway process, one for each partition.

    `name` is unique to the process, not to the replica's name. It names the leases; a lease that was lost never comes
    back, because its seats are being freed: the next one has another name.
    """

    def __init__(
        self,
        link: Link,
        scripts: Scripts,
        *,
        keys: Keys,
        name: str,
        lease_ms: int = LEASE_MS,
        reap_at_once: int = REAP_AT_ONCE,
    ) -> None:
        self._link = link
        self._scripts = scripts
        self._name = name
        self._keys = keys
        self._leases = [name] * keys.partitions
        self._held: set[int] = set()
        self._losses = 0
        self.lease_ms = lease_ms
        self._reap_at_once = reap_at_once

    def of(self, session_id: str) -> str:
        """The lease that holds this gateway's seats of the session."""
        return self._leases[self._keys.partition_of(session_id)]

    async def renew(self) -> Renewal:
        """Take or prolong the leases. The next renewal takes those that were lost, under new names."""
        answers = [self._renew(partition) for partition in range(len(self._leases))]
        left_ms = dict(enumerate(await asyncio.gather(*answers)))
        lost = frozenset(partition for partition, left in left_ms.items() if left is None)
        for partition in lost:
            self._losses += 1
            self._leases[partition] = f"{self._name}.{self._losses}"
        self._held = set(left_ms) - lost
        return Renewal(lost, is_late=any(left is not None and left < self._least_ms for left in left_ms.values()))

    def _renew(self, partition: int) -> "asyncio.Future[int | None]":
        return self._scripts.call(
            "renew_gateway",
            (self._keys.part(partition),),
            self._leases[partition],
            self._connection,
            self.lease_ms,
            int(partition not in self._held),
        )

    @property
    def _connection(self) -> int:
        return self._link.keeper.connects_total

    @property
    def _least_ms(self) -> int:
        """How much of its own lease a gateway must have left before it may call others dead.

        Then Redis' clock has moved by less than half of a lease since this gateway's last renewal; every gateway that
        lives had more than half left, because a gateway renews three times within a lease.
        """
        return self.lease_ms // 2

    async def give_up(self) -> None:
        """Let the leases end now; the next gateway that reaps frees the seats that are still held."""
        await asyncio.gather(
            *(
                self._link.call("ZADD", self._keys.gateways(partition), "XX", 0, lease)
                for partition, lease in enumerate(self._leases)
            )
        )

    async def reap(self) -> int | None:
        """Free the seats of dead gateways and of users whose grace has passed; returns how many were looked at.

        None says that Redis refused in some partition, because less than half of this gateway's own lease was left:
        wait until every gateway has had the time to renew.
        """
        total = 0
        left: Sequence[int] = range(len(self._leases))
        while left:  # all at once: one by one, this was most of the cost of an idle gateway
            seen = await asyncio.gather(*(self._reap(partition) for partition in left))
            if min(seen) < 0:
                return None
            total += sum(seen)
            left = [partition for partition, count in zip(left, seen, strict=True) if count >= self._reap_at_once]
        return total

    def _reap(self, partition: int) -> "asyncio.Future[int]":
        return self._scripts.call(
            "reap",
            (self._keys.part(partition),),
            instant(),
            self._reap_at_once,
            self._leases[partition],
            self._connection,
            self._least_ms,
        )
