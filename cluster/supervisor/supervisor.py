"""The supervisor of a local cluster: starts everything in order, keeps it running, and stops it in order."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from cluster.console.views import View
from cluster.control import protocol
from cluster.embedded.services import ServiceError
from cluster.process.ports import is_free
from cluster.state import records
from cluster.state.home import Lock
from cluster.state.records import ProcessId
from cluster.state.status import ServiceStatus, Status
from cluster.supervisor.backends import Backends
from cluster.supervisor.balancer_process import BalancerProcess
from cluster.supervisor.children import Children
from cluster.supervisor.client_port import ClientPort
from cluster.supervisor.errors import StartError
from cluster.supervisor.health_loop import HealthLoop
from cluster.supervisor.launch_factory import LaunchFactory
from cluster.supervisor.operations import Operations
from cluster.supervisor.plan import Plan
from cluster.supervisor.probes import GatewayMonitor, WorkerMonitor
from cluster.supervisor.replicas import Replicas
from cluster.supervisor.startup import check_bond, kill_leftovers, migrate, raise_open_files
from gateway.access.claims import Claims
from gateway.access.tokens import Tokens

# What a gateway and a worker get beyond the time that they take for themselves.
_EXTRA_STOP_SECONDS = 5.0
# Production shows a gateway's counts to operators only; each look has a token of its own.
_PROBE_TOKEN_SECONDS = 60


def supervise(plan: Plan, view: View) -> int:
    """Run a cluster until SIGINT, SIGTERM, SIGHUP or `seance down` stops it; return the exit code.

    Raises AlreadyRunningError when another supervisor has this home.
    """
    plan.home.make()
    with Lock(plan.home):
        kill_leftovers(plan.home, view.line)
        me = records.identify(os.getpid())
        if me is None:
            view.line("error: this process can't find itself; is /proc mounted?")
            return 1
        # The balancer's socket has a relative path, so that the path stays short.
        os.chdir(plan.home.run)
        return asyncio.run(Supervisor(plan, view, me, open_files=raise_open_files()).run())


class Supervisor:
    """One cluster, from start to stop. `me` is the process of the supervisor, `open_files` its limit."""

    def __init__(self, plan: Plan, view: View, me: ProcessId, *, open_files: int) -> None:
        self._plan = plan
        self._view = view
        self._me = me
        self._open_files = open_files
        self._stop = asyncio.Event()
        self._stop_seconds = plan.settings.shutdown_timeout_seconds + _EXTRA_STOP_SECONDS
        self._background: list[asyncio.Task[None]] = []
        # Made in `_assemble`, when there is a task group for the tasks that they start.
        self._children: Children
        self._backends: Backends
        self._balancer: BalancerProcess
        self._operations: Operations
        # Made in `_start`, when Redis and PostgreSQL answer.
        self._health_loop: HealthLoop | None = None
        self._port: ClientPort | None = None
        self._replicas: Replicas | None = None

    async def run(self) -> int:
        """Start, keep everything running until a signal or `seance down`, stop; return the exit code."""
        self._install_signals()
        code = 0
        try:
            async with asyncio.TaskGroup() as tasks:
                self._assemble(tasks)
                server = await protocol.serve(self._children.token, self._operations.handle)
                self._children.announce(control_port=server.sockets[0].getsockname()[1])
                try:
                    await self._until_stopped(tasks)
                except (StartError, ServiceError) as error:
                    self._report(f"error: {error}")
                    code = 1
                finally:
                    await self._shut_down()
                    server.close()
        finally:
            self._children.send_all(signal.SIGKILL)
            self._plan.home.state.unlink(missing_ok=True)
        return code

    def status(self) -> Status:
        """The status that the last look found."""
        embedded = [*self._backends.children, *([self._balancer.child] if self._balancer.child else [])]
        replicas = self._replicas
        return Status(
            url=self._plan.url,
            problem=self._port.problem if self._port else None,
            redis_url=self._backends.redis_url,
            database_url=self._backends.database_url,
            gateways=tuple(one.status() for _, one in sorted(replicas.gateways.items())) if replicas else (),
            workers=tuple(one.status() for _, one in sorted(replicas.workers.items())) if replicas else (),
            services=tuple(ServiceStatus(name=one.name, pid=one.pid, restarts=one.restarts) for one in embedded),
        )

    def _assemble(self, tasks: asyncio.TaskGroup) -> None:
        self._children = Children(self._plan.home, tasks, self._me, self._report)
        self._backends = Backends(self._plan, self._children, self._report)
        self._balancer = BalancerProcess(self._plan, self._children, self._open_files)
        self._operations = Operations(
            tasks,
            status=self._look,
            stop=self._stop.set,
            replicas=lambda: self._replicas,
            has_balancer=self._balancer.is_available,
        )

    async def _until_stopped(self, tasks: asyncio.TaskGroup) -> None:
        """Start everything, show the status, and return at the request to stop, even in the middle of the start."""
        if await self._unless_stopped(tasks, self._start(tasks)):
            self._children.announce(is_ready=True)
            self._report(f"ready: {self._plan.url}")
            self._background.append(tasks.create_task(self._show(), name="view"))
            await self._stop.wait()

    async def _unless_stopped(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> bool:
        """Do the work, or break it off at the request to stop; return whether the work was done."""
        stopped = tasks.create_task(self._stop.wait(), name="stop signal")
        started = asyncio.ensure_future(work)
        try:
            await asyncio.wait((started, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            started.cancel()
        with suppress(asyncio.CancelledError):
            await started
            return True
        return False

    async def _start(self, tasks: asyncio.TaskGroup) -> None:
        if not is_free(self._plan.port, self._plan.settings.bind_host):
            raise StartError(
                f"port {self._plan.port} is taken by another process: end that, or choose another port, "
                "for example `make up PORT=8100`"
            )
        launches = LaunchFactory(self._plan, *await self._backends.start())
        self._report("migrations: applying")
        await migrate(launches, self._plan.home)
        settings = self._plan.settings
        await check_bond(launches, settings)
        workers = WorkerMonitor(launches.redis_url, settings.keys)
        port = self._port = ClientPort(self._plan.url, self._report)
        tokens = Tokens(settings.jwt_secret, _PROBE_TOKEN_SECONDS)
        gateways = GatewayMonitor(lambda: tokens.create_access_token(Claims(scope="admin")))
        health_loop = self._health_loop = HealthLoop(self._children.changed, gateways, workers, port, self._report)
        has_balancer = self._balancer.is_available
        replicas = self._replicas = health_loop.replicas = Replicas(
            launches,
            self._children.add,
            settle=health_loop.settle,
            sync=port.sync,
            report=self._report,
            address=None if has_balancer else (settings.host, self._plan.port),
            stop_seconds=self._stop_seconds,
        )
        self._background.append(tasks.create_task(health_loop.run(), name="health loop"))
        port.balancer = await self._balancer.start(replicas.slots)
        if not has_balancer:
            self._report(f"{self._balancer.why_not}: one gateway serves the port directly")
        count = settings.gateways if has_balancer else 1
        self._report(f"starting gateways: {count}, workers: {settings.workers}")
        await asyncio.gather(replicas.scale_gateways(count), replicas.scale_workers(settings.workers))

    async def _look(self) -> Status:
        if self._health_loop is not None:
            await self._health_loop.look()
        return self.status()

    async def _shut_down(self) -> None:
        """Stop every process before the processes that it needs."""
        self._stop.set()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._operations.finish()
        self._report("stopping")
        self._balancer.begin_stop()
        if self._replicas is not None:
            await self._replicas.stop()
        await self._balancer.stop()
        if self._health_loop is not None:
            await self._health_loop.close()
        await self._backends.stop()
        self._report("stopped; the data is kept")
        await self._operations.dismiss()

    async def _show(self) -> None:
        # The cluster goes on when its terminal or pipe went away.
        with suppress(OSError):
            await self._view.watch(self.status)

    def _report(self, text: str) -> None:
        with suppress(OSError):
            self._view.line(text)
        self._operations.publish(text)

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        """Drain and stop at the first signal; at the second, kill everything but the servers that hold data."""
        if self._stop.is_set():
            self._report("stopping at once")
            self._children.send_all(signal.SIGKILL, spared=frozenset({"redis", "postgres"}))
        self._stop.set()
