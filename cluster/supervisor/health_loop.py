"""Probes the replicas again and again, tells the balancer what changed, and waits until clients are served."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from cluster.process.child import Child
from cluster.supervisor.client_port import ClientPort
from cluster.supervisor.errors import StartError
from cluster.supervisor.probes import GatewayMonitor, WorkerMonitor
from cluster.supervisor.replica import Gateway, Worker
from cluster.supervisor.replicas import Replicas

_READY_SECONDS = 60.0
_STARTING_POLL_SECONDS = 0.1
_POLL_SECONDS = 1.0


class HealthLoop:
    """`run` is its task. `changed` starts the next look early. `ready_seconds` is how long a start may take."""

    def __init__(
        self,
        changed: asyncio.Event,
        gateways: GatewayMonitor,
        workers: WorkerMonitor,
        port: ClientPort,
        report: Callable[[str], None],
        *,
        ready_seconds: float = _READY_SECONDS,
    ) -> None:
        self.replicas: Replicas | None = None
        self._changed = changed
        self._workers = workers
        self._port = port
        self._gateways = gateways
        self._report = report
        self._ready_seconds = ready_seconds
        self._looking = asyncio.Lock()
        self._looked = asyncio.Condition()

    async def run(self) -> None:
        """Look until cancelled: often while a replica starts, else once a second and whenever a process changed."""
        while True:
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval()):
                    await self._changed.wait()
            self._changed.clear()

    async def look(self) -> None:
        """Probe every replica once, tell the balancer about changed slots, and then try the port for clients."""
        async with self._looking:
            if self.replicas is not None:
                await asyncio.gather(self._look_at_gateways(self.replicas), self._look_at_workers(self.replicas))
            await self._port.sync()
            await self._port.look()
        async with self._looked:
            self._looked.notify_all()

    async def settle(self, children: list[Child]) -> None:
        """Return when all children are ready and the port serves clients.

        Raises StartError when a child ends again and again, or time is over.
        """
        deadline = time.monotonic() + self._ready_seconds
        for child in children:
            while child.state != "ready":
                if child.is_hopeless:
                    raise StartError(
                        f"{child.name} does not start; its log {child.log} ends with\n{child.last_lines()}"
                    )
                if time.monotonic() > deadline:
                    raise StartError(f"{child.name} is not ready after {self._ready_seconds:g} s; see {child.log}")
                await self._next_look()
        # What the last look found may be older than the request to settle.
        await self.look()
        while self._port.problem is not None:
            if time.monotonic() > deadline:
                raise StartError(f"{self._port.url} serves no client: {self._port.problem}")
            await self._next_look()

    async def close(self) -> None:
        """Close the connections to the gateways and to the port for clients."""
        await self._gateways.close()
        await self._port.close()

    async def _next_look(self) -> None:
        """Return after the end of a look, which may have begun before."""
        async with self._looked:
            await self._looked.wait()

    async def _look_at_gateways(self, replicas: Replicas) -> None:
        running = [gateway for gateway in replicas.gateways.values() if gateway.child.is_running]
        pulses = await asyncio.gather(*(self._gateways.poll(gateway.url) for gateway in running))
        for gateway, pulse in zip(running, pulses, strict=True):
            if gateway.observe(pulse):
                self._say(gateway, f" ({gateway.url})")

    async def _look_at_workers(self, replicas: Replicas) -> None:
        workers = list(replicas.workers.values())
        running = {worker.id: worker.child.started_at for worker in workers if worker.child.is_running}
        lags = await self._workers.poll(running)
        for worker in workers:
            if worker.observe(lags):
                self._say(worker, "")
        await asyncio.gather(*(self._count_missing(worker) for worker in workers if worker.child.is_running))

    async def _count_missing(self, worker: Worker) -> None:
        missing = await self._gateways.missing(worker.url)
        if missing is not None:
            worker.missing = missing

    def _say(self, replica: Gateway | Worker, more: str) -> None:
        self._report(f"{replica.id}: {replica.child.state}{more}")

    def _interval(self) -> float:
        replicas = self.replicas
        if replicas is None:
            return _POLL_SECONDS
        children = [gateway.child for gateway in replicas.gateways.values()]
        children += [worker.child for worker in replicas.workers.values()]
        is_starting = any(child.state == "starting" for child in children)
        return _STARTING_POLL_SECONDS if is_starting else _POLL_SECONDS
