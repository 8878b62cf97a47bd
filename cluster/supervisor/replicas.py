"""The gateways and workers of a running cluster: adding them, draining and removing them, replacing them one by one."""

import asyncio
import itertools
import signal
from collections.abc import Awaitable, Callable, Mapping

from cluster.console.counted import counted
from cluster.embedded.haproxy import Slot
from cluster.process.child import Child
from cluster.supervisor.launch_factory import LaunchFactory
from cluster.supervisor.replica import Gateway, MakeChild, Worker

_PROGRESS_SECONDS = 2.0


class Replicas:
    """All gateways and workers, by number.

    `make_child` starts a process that is kept running. `settle` waits until the children are ready and clients are
    served, or raises StartError. `sync` tells the balancer about changed slots. `address` is set when there is no
    balancer: the only gateway listens on that address.
    """

    def __init__(
        self,
        launches: LaunchFactory,
        make_child: MakeChild,
        *,
        settle: Callable[[list[Child]], Awaitable[None]],
        sync: Callable[[], Awaitable[None]],
        report: Callable[[str], None],
        address: tuple[str, int] | None,
        stop_seconds: float,
    ) -> None:
        self.gateways: dict[int, Gateway] = {}
        self.workers: dict[int, Worker] = {}
        self._launches = launches
        self._make_child = make_child
        self._settle = settle
        self._sync = sync
        self._report = report
        self._address = address
        self._stop_seconds = stop_seconds

    def slots(self) -> dict[int, Slot]:
        """The balancer's slots as the states of the gateways demand them."""
        return {number: gateway.slot for number, gateway in self.gateways.items()}

    async def scale_gateways(self, count: int) -> None:
        """Run this many gateways: start the missing ones, or drain and remove those with the highest numbers."""
        added = [self._add_gateway() for _ in range(count - len(self.gateways))]
        await self._settle([gateway.child for gateway in added])
        surplus = sorted(self.gateways)[count:]
        if surplus:
            await asyncio.gather(*(self._remove_gateway(number) for number in surplus))
            await self._settle([])

    async def scale_workers(self, count: int) -> None:
        """Run this many workers; the remaining workers take over the partitions of those that stop."""
        added = []
        while len(self.workers) < count:
            number = lowest_free(self.workers)
            self.workers[number] = Worker(number, self._launches, self._make_child)
            added.append(self.workers[number].child)
        await self._settle(added)
        for number in sorted(self.workers)[count:]:
            worker = self.workers[number]
            self._report(f"{worker.id}: stopping")
            await worker.child.stop(self._stop_seconds)
            del self.workers[number]

    async def restart_gateways(self) -> None:
        """Replace the gateways one by one while the others serve; a single gateway gets a temporary second gateway."""
        numbers = sorted(self.gateways)
        temporary = self._add_gateway() if len(numbers) == 1 and self._address is None else None
        if temporary is not None:
            await self._settle([temporary.child])
        for done, number in enumerate(numbers, 1):
            await self._replace_gateway(number)
            self._report(f"gw-{number}: replaced ({done} of {len(numbers)})")
        if temporary is not None:
            await self._remove_gateway(temporary.number)

    async def stop(self) -> None:
        """Drain and end all gateways, then all workers."""
        for gateway in self.gateways.values():
            # `Child.stop` sends another signal: clients have no gateway left to move to, so no gateway paces its drain.
            gateway.child.begin_stop(signal.SIGINT)
        for group in (self.gateways, self.workers):
            await asyncio.gather(*(replica.child.stop(self._stop_seconds) for replica in group.values()))

    def _add_gateway(self) -> Gateway:
        number = lowest_free(self.gateways)
        gateway = Gateway(number, self._launches, self._make_child, self._address)
        self.gateways[number] = gateway
        return gateway

    async def _replace_gateway(self, number: int) -> None:
        await self._drain(self.gateways[number])
        self.gateways[number] = Gateway(number, self._launches, self._make_child, self._address)
        await self._settle([self.gateways[number].child])

    async def _remove_gateway(self, number: int) -> None:
        await self._drain(self.gateways[number])
        del self.gateways[number]
        await self._sync()

    async def _drain(self, gateway: Gateway) -> None:
        """Stop new connections first; then the process ends when its sockets have moved."""
        self._report(f"{gateway.id}: draining ({counted(gateway.health.sockets, 'socket')})")
        gateway.child.state = "draining"
        await self._sync()
        progress = asyncio.create_task(self._report_sockets(gateway), name=f"progress {gateway.id}")
        try:
            await gateway.child.stop(self._stop_seconds)
        finally:
            progress.cancel()

    async def _report_sockets(self, gateway: Gateway) -> None:
        """Report the sockets that are left every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            self._report(f"{gateway.id}: {counted(gateway.health.sockets, 'socket')} left")


def lowest_free(taken: Mapping[int, object]) -> int:
    """The lowest number from 1 that is not taken; numbers stay small, because each number has a balancer slot."""
    return next(number for number in itertools.count(1) if number not in taken)
