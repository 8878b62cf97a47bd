"""How many sockets each address has on all gateways: every gateway writes its own counts, under its lease."""

import asyncio

from broker.keys import Keys
from broker.redis.connection import Reply
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.gateway_leases import GatewayLeases

# Counts that are not written again for so long are forgotten.
KEPT_SECONDS = 300


class SocketCounts:
    """The counts of one gateway, and the sums over all gateways. Methods raise BrokerError."""

    def __init__(self, link: Link, scripts: Scripts, leases: GatewayLeases, *, keys: Keys) -> None:
        self._link = link
        self._scripts = scripts
        self._leases = leases
        self._keys = keys

    def write(self, address: str, count: int, *, most: int = 0) -> "asyncio.Future[int]":
        """Write that this gateway has `count` sockets of the address; returns how many all gateways have.

        When that is more than `most` (0: any number), nothing is written. The command leaves now.
        """
        partition = self._keys.partition_of(address)
        return self._scripts.ask(
            int,
            "count_sockets",
            (self._keys.sockets(partition, address), self._keys.gateways(partition)),
            self._leases.of(address),
            count,
            most,
            KEPT_SECONDS,
        )

    def lower(self, address: str, count: int) -> "asyncio.Future[Reply]":
        """Write that this gateway has only `count` sockets of the address now. The command leaves now."""
        key = self._keys.sockets(self._keys.partition_of(address), address)
        lease = self._leases.of(address)
        return self._link.call("HSET", key, lease, count) if count else self._link.call("HDEL", key, lease)
