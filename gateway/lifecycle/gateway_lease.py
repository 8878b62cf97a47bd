"""Renews the gateway's leases, reaps the seats of expired leases, and repeats leaves that failed."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from broker.errors import BrokerError
from broker.keys import Keys
from broker.redis.link import Link
from broker.sessions.gateway_leases import REAP_SECONDS, RENEW_SECONDS, GatewayLeases
from gateway.protocol import close_codes
from gateway.rooms.hub import Hub
from gateway.rooms.leave_queue import LeaveQueue

log = structlog.get_logger()


class GatewayLease:
    """The leases of one gateway, one for each partition. Before `has_lease` is True the gateway gets no seats.

    `renew_seconds` and `reap_seconds` are intervals. `reap_after_seconds` is how long this gateway waits after an
    outage, a sleep or a jump of Redis' clock before it reaps seats, so that every gateway can renew its leases first.
    `on_lost` is called when Redis no longer held leases, as after FLUSHALL.
    """

    def __init__(
        self,
        link: Link,
        leases: GatewayLeases,
        hub: Hub,
        leave_queue: LeaveQueue,
        *,
        keys: Keys,
        renew_seconds: float = RENEW_SECONDS,
        reap_seconds: float = REAP_SECONDS,
        reap_after_seconds: float | None = None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._keeper = link.keeper
        self._leases = leases
        self._hub = hub
        self._leave_queue = leave_queue
        self._keys = keys
        self._renew_seconds = renew_seconds
        self._reap_seconds = reap_seconds
        self._reap_after_seconds = leases.lease_ms / 1000 if reap_after_seconds is None else reap_after_seconds
        self._on_lost = on_lost
        self._is_new = asyncio.Event()
        self._reap_at = 0.0
        self.has_lease = False

    async def run(self) -> None:
        """Renew and reap until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._keeper.wait_up()
            self._is_new.clear()
            # After an outage every lease may look expired; this gateway may have started during one.
            self._postpone_reaping()
            renew_at = 0.0
            while self._keeper.is_up and not self._is_new.is_set():
                try:
                    if loop.time() >= renew_at:
                        renew_at = loop.time() + self._renew_seconds
                        await self._renew()
                    if loop.time() >= self._reap_at and await self._leases.reap() is None:
                        self._postpone_reaping()
                except BrokerError as error:
                    log.warning("lease.not_renewed", reason=str(error))
                    self._postpone_reaping()  # the other gateways may have failed too
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._reap_seconds):
                        await self._is_new.wait()

    def linked(self) -> None:
        """The link has a new connection, maybe to a Redis process that does not hold this gateway's leases."""
        self.has_lease = False
        self._is_new.set()

    async def give_up(self) -> None:
        """Give up the leases, when the gateway stops."""
        await self._leases.give_up()

    async def _renew(self) -> None:
        while lost := await self._renew_once():
            log.warning("lease.lost", partitions=sorted(lost))
            self._on_lost()
            self._end_members(lost)
        self.has_lease = True
        self._leave_queue.retry()

    async def _renew_once(self) -> frozenset[int]:
        found = await self._leases.renew()
        if found.is_late:
            log.warning("lease.late", reap_after_seconds=self._reap_after_seconds)
            self._postpone_reaping()
        return found.lost

    def _end_members(self, lost: frozenset[int]) -> None:
        self._hub.end(lambda room: self._keys.partition_of(room.info.id) in lost, close_codes.RESYNC)

    def _postpone_reaping(self) -> None:
        """Whether a lease that looks expired belongs to a dead gateway shows once every gateway could renew."""
        self._reap_at = asyncio.get_running_loop().time() + self._reap_after_seconds
