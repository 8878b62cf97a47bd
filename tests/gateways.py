"""Real gateways and workers as processes of their own, for tests."""

import contextlib
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from cluster.process.ports import free_port
from tests.forked import Forked
from tests.services import Services

# Longer than SHUTDOWN_TIMEOUT_SECONDS.
DEADLINE_SECONDS = 30.0
# Three at once, measured for coverage, on a machine that does other things too.
START_SECONDS = 60.0
PYTEST_PROCESSES = 8
_WORKERS = itertools.count(1)
SECRET = "a-secret-of-the-tests-that-is-long-enough"


@dataclass
class Process:
    """One process of the `seance` command, with its output in `log`."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    popen: Forked | None = field(default=None, repr=False)
    is_measured: bool = False
    """Whether coverage measures the process; that doubles the CPU time of its start."""

    _log_start: int = field(default=0, repr=False)

    def start(self) -> None:
        """Start it, or start it again."""
        environment = {**inherited(is_measured=self.is_measured), **self.environment}
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.popen = Forked(self.arguments, environment=environment, folder=self.log.parent, stdout=output)

    def said(self) -> str:
        """What it has logged since its last start."""
        return self.log.read_bytes()[self._log_start :].decode()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.popen is not None
        self.popen.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.popen is not None
        return self.popen.wait(DEADLINE_SECONDS)

    def stop(self) -> int:
        """Ask it to end; kill it when it does not."""
        assert self.popen is not None
        if self.popen.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.name} did not end; its log:\n{self.log.read_text()}") from None


@dataclass
class Gateway(Process):
    """A gateway on a port of its own."""

    port: int = 0

    @property
    def url(self) -> str:
        """Where it answers HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def wait_live(self) -> None:
        """Return once it answers HTTP."""
        self._wait("/live")

    def wait_ready(self) -> None:
        """Return once it may get traffic."""
        self._wait("/ready")

    def _wait(self, path: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.popen is not None
            if self.popen.poll() is not None:
                self._move()
            # Before it listens, an answer at this address would come from another test's gateway.
            if self._listens():
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{self.url}{path}", timeout=2).status_code == 200:
                        return
            time.sleep(0.02)  # between two looks
        raise AssertionError(f"{self.name} did not answer 200 to {path}:\n{self.log.read_text()}")

    def _listens(self) -> bool:
        """Whether this very process has the port."""
        assert self.popen is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            sockets = psutil.Process(self.popen.pid).net_connections("tcp")
            return any(one.status == psutil.CONN_LISTEN and one.laddr.port == self.port for one in sockets)
        return False

    def _move(self) -> None:
        """Start on another port: somebody took ours between its choice and its use. Any other end is a failure."""
        assert "address already in use" in self.said(), f"{self.name} ended:\n{self.said()}"
        self.port = own_port()
        self.environment = {**self.environment, "PORT": str(self.port)}
        self.log = self.log.with_name(f"{self.name}-{self.port}.log")
        self.start()


def own_port() -> int:
    """A free port that no other pytest process of this run chooses for a gateway."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while (port := free_port()) % PYTEST_PROCESSES != number % PYTEST_PROCESSES:
        pass
    return port


@contextlib.contextmanager
def running_gateways(
    services: Services,
    folder: Path,
    count: int = 1,
    *,
    wait: bool = True,
    is_measured: bool = False,
    **settings: object,
) -> Iterator[list[Gateway]]:
    """`count` gateways with these settings (variables in small letters); stopped at the end."""
    gateways = [
        Gateway(
            name=f"gw-{number}",
            arguments=("gateway", "--id", f"gw-{number}"),
            environment={**environment_of(services, settings), "PORT": str(port)},
            log=folder / f"gw-{number}-{port}.log",
            port=port,
            is_measured=is_measured,
        )
        for number, port in ((number, own_port()) for number in range(1, count + 1))
    ]
    with contextlib.ExitStack() as stack:
        for gateway in gateways:
            gateway.start()
            stack.callback(gateway.stop)
        if wait:
            for gateway in gateways:
                gateway.wait_ready()
        yield gateways


@contextlib.contextmanager
def running_workers(
    services: Services, folder: Path, count: int = 1, *, is_measured: bool = False, **settings: object
) -> Iterator[list[Process]]:
    """`count` workers with these settings; stopped at the end.

    Each has an id of its own: two workers of one id would own the same partitions, and each would call committed what
    the other one still has in its hands.
    """
    workers = [
        Process(
            name=name,
            arguments=("worker", "--id", name),
            environment=environment_of(services, settings),
            log=folder / f"{name}.log",
            is_measured=is_measured,
        )
        for name in (f"worker-{next(_WORKERS)}" for _ in range(count))
    ]
    with contextlib.ExitStack() as stack:
        for worker in workers:
            worker.start()
            stack.callback(worker.stop)
        yield workers


def environment_of(services: Services, settings: Mapping[str, object]) -> dict[str, str]:
    """The variables of a process of ours on these servers; the settings are named in small letters."""
    return {
        "ENVIRONMENT": "test",
        "REDIS_URL": services.redis_url,
        "DATABASE_URL": services.database_url,
        "JWT_SECRET": SECRET,
        "DRAIN_WAIT_SECONDS": "0",  # there is no balancer that should notice first
        "LIMITS": "off",  # all clients of the tests have one address
        "MAX_CONNECTIONS_PER_ADDRESS": "0",
        **{name.upper(): str(value) for name, value in settings.items()},
    }


def inherited(*, is_measured: bool = True) -> dict[str, str]:
    """The variables that a process needs of this one, without settings of a gateway.

    Coverage measures the process when it measures this one, unless `is_measured` is false: a tool that runs no code of
    this project would only be slower.
    """
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    prefixes = ("COVERAGE", "COV_", "PYTHON") if is_measured else ("PYTHON",)
    return {name: value for name, value in os.environ.items() if name in kept or name.startswith(prefixes)}
