"""The supervisor of a local cluster: starts everything in order, keeps it running, and stops it in order."""

import asyncio
import os
import resource
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from cluster.console.views import View
from cluster.control import protocol
from cluster.embedded.haproxy import Balancer, find_haproxy
from cluster.embedded.services import ServiceError
from cluster.process.child import Child
from cluster.process.launch import start_async
from cluster.process.ports import is_free, is_listening
from cluster.state import records
from cluster.state.home import Lock
from cluster.state.status import ServiceStatus, Status
from cluster.supervisor.backends import Backends
from cluster.supervisor.children import Roster
from cluster.supervisor.errors import StartError
from cluster.supervisor.health_loop import HealthLoop
from cluster.supervisor.launch_factory import LaunchFactory
from cluster.supervisor.operations import Operations
from cluster.supervisor.plan import Plan
from cluster.supervisor.probes import WorkerMonitor
from cluster.supervisor.replicas import Replicas

# More open files cost the balancer memory, and nobody needs them here.
_MOST_OPEN_FILES = 200_000
# What a gateway and a worker get beyond the time that they take for themselves.
_EXTRA_STOP_SECONDS = 5.0
_LEFTOVER_SECONDS = 10.0
_BALANCER_STOP_SECONDS = 2.0
_BALANCER_POLL_SECONDS = 0.02


def supervise(plan: Plan, view: View) -> int:
    """Run a cluster until it is told to stop (SIGINT, SIGTERM, SIGHUP or `seance down`); the exit code.

    Raises AlreadyRunningError when another supervisor has this home.
    """
    plan.home.make()
    with Lock(plan.home):
        _clear_leftovers(plan, view)
        # The balancer's socket has a relative path, so that it stays short.
        os.chdir(plan.home.run)
        return asyncio.run(Supervisor(plan, view).run())


class Supervisor:
    """One cluster, from start to stop."""

    def __init__(self, plan: Plan, view: View) -> None:
        self._plan = plan
        self._view = view
        self._haproxy = find_haproxy() if plan.has_balancer else None
        self._open_files = raise_open_files()
        self._stop = asyncio.Event()
        self._balancer: Child | None = None
        self._replicas: Replicas | None = None
        self._watch: HealthLoop | None = None
        self._background: list[asyncio.Task[None]] = []
        # Made in `run`, where there is a task group for what they start.
        self._roster: Roster
        self._backends: Backends
        self._operations: Operations

    async def run(self) -> int:
        """Start, keep everything running until told to stop, stop; the exit code."""
        self._install_signals()
        code = 0
        try:
            async with asyncio.TaskGroup() as tasks:
                self._assemble(tasks)
                server = await protocol.serve(self._roster.token, self._operations.handle)
                self._roster.announce(control_port=server.sockets[0].getsockname()[1])
                try:
                    await self._until_stopped(tasks)
                except (StartError, ServiceError) as error:
                    self._report(f"error: {error}")
                    code = 1
                finally:
                    await self._shut_down()
                    server.close()
        finally:
            self._roster.send_all(signal.SIGKILL)
            self._plan.home.state.unlink(missing_ok=True)
        return code

    def status(self) -> Status:
        """How everything was when it was last looked at."""
        embedded = [*self._backends.children, *([self._balancer] if self._balancer else [])]
        replicas = self._replicas
        return Status(
            url=self._plan.url,
            redis_url=self._backends.redis_url,
            database_url=self._backends.database_url,
            gateways=tuple(one.status() for _, one in sorted(replicas.gateways.items())) if replicas else (),
            workers=tuple(one.status() for _, one in sorted(replicas.workers.items())) if replicas else (),
            services=tuple(ServiceStatus(name=one.name, pid=one.pid, restarts=one.restarts) for one in embedded),
        )

    def _assemble(self, tasks: asyncio.TaskGroup) -> None:
        me = records.identify(os.getpid())
        if me is None:
            raise StartError("this process can't find itself; is /proc mounted?")
        self._roster = Roster(self._plan.home, tasks, me, self._report)
        self._backends = Backends(self._plan, self._roster, self._report)
        self._operations = Operations(
            tasks,
            status=self._look,
            stop=self._stop.set,
            replicas=lambda: self._replicas,
            has_balancer=self._haproxy is not None,
        )

    async def _until_stopped(self, tasks: asyncio.TaskGroup) -> None:
        """Start everything, show it, and return when told to stop, during the start too."""
        if await self._unless_stopped(tasks, self._start(tasks)):
            self._roster.announce(is_ready=True)
            self._report(f"ready: {self._plan.url}")
            self._background.append(tasks.create_task(self._show(), name="view"))
            await self._stop.wait()

    async def _unless_stopped(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> bool:
        """Do the work, or break it off when told to stop; whether it was done."""
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
        if not is_free(self._plan.port, self._plan.settings.host):
            raise StartError(
                f"port {self._plan.port} is taken by another process: end that, or choose another port, "
                "for example `make up PORT=8100`"
            )
        launches = LaunchFactory(self._plan, *await self._backends.start())
        self._report("migrations: applying")
        await self._migrate(launches)
        settings = self._plan.settings
        workers = WorkerMonitor(launches.redis_url, settings.partitions)
        watch = self._watch = HealthLoop(self._roster.changed, workers, self._report)
        replicas = self._replicas = watch.replicas = Replicas(
            launches,
            self._roster.add,
            settle=watch.settle,
            sync=watch.sync,
            report=self._report,
            address=None if self._haproxy else (settings.host, self._plan.port),
            stop_seconds=settings.shutdown_timeout_seconds + _EXTRA_STOP_SECONDS,
        )
        self._background.append(tasks.create_task(watch.run(), name="watch"))
        await self._start_balancer(watch, replicas)
        count = settings.gateways if self._haproxy else 1
        self._report(f"starting gateways: {count}, workers: {settings.workers}")
        await asyncio.gather(replicas.scale_gateways(count), replicas.scale_workers(settings.workers))

    async def _start_balancer(self, watch: HealthLoop, replicas: Replicas) -> None:
        if self._haproxy is None:
            why = "no HAProxy for this machine" if self._plan.has_balancer else "no balancer wanted"
            self._report(f"{why}: one gateway serves the port directly")
            return
        watch.balancer = Balancer(
            self._haproxy,
            self._plan.home.run,
            self._plan.bind,
            replicas.slots,
            open_files=self._open_files,
            drain_seconds=self._plan.settings.shutdown_timeout_seconds,
        )
        child = self._balancer = self._roster.add("balancer", watch.balancer.launch)
        while not is_listening(self._plan.settings.host, self._plan.port):
            if child.is_hopeless:
                raise StartError(f"HAProxy does not start; its log {child.log} ends with\n{child.last_lines()}")
            await asyncio.sleep(_BALANCER_POLL_SECONDS)
        child.set_state("ready")

    async def _migrate(self, launches: LaunchFactory) -> None:
        log = self._plan.home.log("migrate")
        log.unlink(missing_ok=True)
        process = await start_async(launches.migrate(), log)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            raise
        if code != 0:
            raise StartError(f"the migrations failed:\n{log.read_text(errors='replace').strip()}")

    async def _look(self) -> Status:
        if self._watch is not None:
            await self._watch.look()
        return self.status()

    async def _shut_down(self) -> None:
        """Stop in the order in which each thing needs the next."""
        self._stop.set()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._operations.finish()
        self._report("stopping")
        if self._balancer is not None:
            # It takes no new connections, and ends by itself when the gateways have closed theirs.
            self._balancer.begin_stop(signal.SIGUSR1)
        await self._stop_replicas()
        if self._balancer is not None:
            await self._balancer.stop(_BALANCER_STOP_SECONDS)
        if self._watch is not None:
            await self._watch.close()
        await self._backends.stop()
        self._report("stopped; the data is kept")
        await self._operations.dismiss()

    async def _stop_replicas(self) -> None:
        if self._replicas is None:
            return
        seconds = self._plan.settings.shutdown_timeout_seconds + _EXTRA_STOP_SECONDS
        for gateway in self._replicas.gateways.values():
            # A signal more than the one that follows: all go, so no client has anywhere to go to, and none is paced.
            gateway.child.begin_stop(signal.SIGINT)
        for group in (self._replicas.gateways, self._replicas.workers):
            await asyncio.gather(*(replica.child.stop(seconds) for replica in group.values()))

    async def _show(self) -> None:
        # A terminal or pipe that went away is no reason to stop.
        with suppress(OSError):
            await self._view.watch(self.status)

    def _report(self, text: str) -> None:
        with suppress(OSError):
            self._view.line(text)
        self._operations.publish(text)

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(one, self._on_signal)

    def _on_signal(self) -> None:
        """The first one drains and stops; with the second there is no more patience, but for the data."""
        if self._stop.is_set():
            self._report("stopping at once")
            self._roster.send_all(signal.SIGKILL, but=frozenset({"redis", "postgres"}))
        self._stop.set()


def raise_open_files() -> int:
    """Allow this process and its children as many open files as the system lets us; the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def _clear_leftovers(plan: Plan, view: View) -> None:
    """End what a supervisor that was killed left behind. Its processes are known by number and start time."""
    record = records.read(plan.home.state)
    if record is None:
        return
    count = records.kill_all(record.processes, _LEFTOVER_SECONDS)
    if count:
        view.line(f"ended {count} processes that an earlier cluster left behind")
    plan.home.state.unlink(missing_ok=True)
