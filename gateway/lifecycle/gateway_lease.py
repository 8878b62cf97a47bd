"""The gateway's beat: proves that it lives, frees seats that nobody holds, repeats departures that Redis missed."""

import asyncio
import contextlib

import structlog

from broker import keys
from broker.errors import BrokerError
from broker.redis.link import Link
from broker.sessions.gateway_leases import BEAT_SECONDS, LEASE_MS, REAP_SECONDS, GatewayLeases
from gateway.protocol import close_codes
from gateway.rooms.hub import Hub
from gateway.rooms.leave_queue import LeaveQueue

log = structlog.get_logger()


class GatewayLease:
    """Runs beside the server; before it `has_lease` the gateway gets no seats."""

    def __init__(
        self, link: Link, leases: GatewayLeases, hub: Hub, leave_queue: LeaveQueue, *, partitions: int
    ) -> None:
        self._keeper = link.keeper
        self._leases = leases
        self._hub = hub
        self._leave_queue = leave_queue
        self._partitions = partitions
        self._is_new = asyncio.Event()
        self._had_leases = False
        self.has_lease = False
        link.on_up.append(self._linked)

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._keeper.wait_up()
            self._is_new.clear()
            # After an outage, which this gateway may just have been started in, every lease may look expired: give all
            # gateways the time to renew theirs.
            reap_from = loop.time() + LEASE_MS / 1000
            beat_at = 0.0
            while self._keeper.is_up and not self._is_new.is_set():
                try:
                    if loop.time() >= beat_at:
                        beat_at = loop.time() + BEAT_SECONDS
                        await self._renew()
                    if loop.time() >= reap_from:
                        await self._leases.reap()
                except BrokerError as error:
                    log.warning("beat.missed", reason=str(error))
                    reap_from = loop.time() + LEASE_MS / 1000  # nor could the others renew
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REAP_SECONDS):
                        await self._is_new.wait()

    def _linked(self) -> None:
        """A new connection: the Redis behind it may know no lease of ours."""
        self.has_lease = False
        self._is_new.set()

    async def give_up(self) -> None:
        """The gateway ends: its leases too."""
        await self._leases.give_up()

    async def _renew(self) -> None:
        lost = await self._leases.renew()
        if lost and self._had_leases:
            log.warning("lease.lost", partitions=sorted(lost))
            for room in self._hub.rooms():
                if keys.partition_of(room.info.id, self._partitions) in lost:
                    room.end_all(close_codes.RESYNC)
        self.has_lease = self._had_leases = True
        self._leave_queue.retry()
