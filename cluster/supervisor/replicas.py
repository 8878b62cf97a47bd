"""The gateways and workers of a running cluster: adding them, draining and removing them, replacing them one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from cluster.embedded.haproxy import Slot
from cluster.process.addresses import LOOPBACK, bracketed, reachable
from cluster.process.child import Child
from cluster.process.launch import Launch
from cluster.process.ports import free_port, is_free
from cluster.state.status import GatewayStatus, WorkerStatus
from cluster.supervisor.launch_factory import LaunchFactory
from cluster.supervisor.probes import Health, Pulse, Rates

_PROGRESS_SECONDS = 2.0

MakeChild = Callable[[str, Callable[[], Launch]], Child]


class Gateway:
    """One gateway replica: its process, its port, and what the last poll found."""

    def __init__(
        self, number: int, launches: LaunchFactory, make_child: MakeChild, address: tuple[str, int] | None
    ) -> None:
        self.number = number
        self.id = f"gw-{number}"
        self.health = Health()
        self.rates = Rates()
        self._launches = launches
        self._fixed = address
        self._port = address[1] if address else free_port()
        self.child = make_child(self.id, self._launch)

    @property
    def url(self) -> str:
        """Its own address."""
        host = reachable(self._fixed[0]) if self._fixed else LOOPBACK
        return f"http://{bracketed(host)}:{self._port}"

    @property
    def slot(self) -> Slot:
        """How the balancer is to treat it; while it runs and isn't ready, the balancer's checks decide."""
        match self.child.state:
            case "ready" | "unready":
                return Slot(self._port, "ready")
            case "draining":
                return Slot(self._port, "drain")
            case _:
                return Slot()

    def observe(self, pulse: Pulse) -> bool:
        """Take in what a poll found; true when its state changed."""
        if pulse.health is not None:
            self.health = pulse.health
            self.rates.update(pulse.health)
        if pulse.is_ready:
            return self.child.set_state("ready")
        return self.child.state == "ready" and self.child.set_state("unready")

    def status(self) -> GatewayStatus:
        """For people and scripts."""
        is_up = self.child.is_running
        health = self.health if is_up else Health()
        return GatewayStatus(
            id=self.id,
            url=self.url,
            pid=self.child.pid,
            state=self.child.state,
            restarts=self.child.restarts,
            sockets=health.sockets,
            sessions=health.sessions,
            events_rate=self.rates.events if is_up else 0.0,
            deliveries_rate=self.rates.deliveries if is_up else 0.0,
            loop_lag_seconds=health.loop_lag_seconds,
            backlog=health.backlog,
            backlog_limit=health.backlog_limit,
            dead_letters=health.dead_letters,
            redis=health.redis,
            postgres=health.database,
        )

    def _launch(self) -> Launch:
        # Between an end and the next start, something else may have taken the port.
        if self._fixed is None and not is_free(self._port):
            self._port = free_port()
        host = self._fixed[0] if self._fixed else LOOPBACK
        return self._launches.gateway(self.id, host, self._port)


class Worker:
    """One persistence worker: its process and its lag."""

    def __init__(self, number: int, launches: LaunchFactory, make_child: MakeChild) -> None:
        self.number = number
        self.id = f"worker-{number}"
        self.lag = 0
        self.missing = 0
        self._launches = launches
        self._port = free_port()
        self.child = make_child(self.id, self._launch)

    @property
    def url(self) -> str:
        """Where its metrics are."""
        return f"http://{LOOPBACK}:{self._port}"

    def observe(self, lags: Mapping[str, int] | None) -> bool:
        """Take in the lags of the workers that are present; true when its state changed."""
        lag = None if lags is None else lags.get(self.id)
        if lag is not None:
            self.lag = lag
            return self.child.set_state("ready")
        return self.child.state == "ready" and self.child.set_state("unready")

    def status(self) -> WorkerStatus:
        """For people and scripts."""
        return WorkerStatus(
            id=self.id,
            url=self.url,
            pid=self.child.pid,
            state=self.child.state,
            lag=self.lag,
            missing=self.missing,
            restarts=self.child.restarts,
        )

    def _launch(self) -> Launch:
        if not is_free(self._port):
            self._port = free_port()
        return self._launches.worker(self.id, self._port)


class Replicas:
    """All gateways and workers, by number.

    `make_child` starts a process that is kept running. `settle` waits until the children are ready, or raises.
    `sync` tells the balancer about changed slots. `address` is set when there is no balancer: the one gateway's own.
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
        """What the balancer's slots are to be."""
        return {number: gateway.slot for number, gateway in self.gateways.items()}

    async def scale_gateways(self, count: int) -> None:
        """Run this many: start the missing ones, or drain and remove those with the highest numbers."""
        added = [self._add_gateway() for _ in range(count - len(self.gateways))]
        await self._settle([gateway.child for gateway in added])
        await asyncio.gather(*(self._remove_gateway(number) for number in sorted(self.gateways)[count:]))

    async def scale_workers(self, count: int) -> None:
        """The same for workers; the others take over the partitions of those that go."""
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
        """Replace the gateways one by one; the others serve meanwhile, a temporary one where there is only one."""
        numbers = sorted(self.gateways)
        temporary = self._add_gateway() if len(numbers) == 1 and self._address is None else None
        if temporary is not None:
            await self._settle([temporary.child])
        for done, number in enumerate(numbers, 1):
            await self._replace_gateway(number)
            self._report(f"gw-{number}: replaced ({done} of {len(numbers)})")
        if temporary is not None:
            await self._remove_gateway(temporary.number)

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
        """First no new connections, then the process ends as its sockets have moved."""
        self._report(f"{gateway.id}: draining ({gateway.health.sockets} sockets)")
        gateway.child.state = "draining"
        await self._sync()
        telling = asyncio.create_task(self._tell_sockets(gateway), name=f"progress {gateway.id}")
        try:
            await gateway.child.stop(self._stop_seconds)
        finally:
            telling.cancel()

    async def _tell_sockets(self, gateway: Gateway) -> None:
        """Now and then, until cancelled."""
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            self._report(f"{gateway.id}: {gateway.health.sockets} sockets left")


def lowest_free(taken: Mapping[int, object]) -> int:
    """The lowest number from 1 that is not taken; numbers are few and stay small, since each has a balancer slot."""
    number = 1
    while number in taken:
        number += 1
    return number
