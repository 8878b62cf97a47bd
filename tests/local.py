"""A whole local cluster for system tests: `seance up` with a home and ports of its own, as a user would start it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from cluster.control.local import status_of
from cluster.state.home import Home
from cluster.state.home import is_running as is_running_in
from cluster.state.records import read
from cluster.state.status import Status
from tests import forked
from tests.forked import Forked
from tests.waiting import until

# What the machine's own settings must not change.
_CLEARED = frozenset(
    {"DATABASE_URL", "REDIS_URL", "PORT", "HOST", "GATEWAYS", "WORKERS", "DETACH", "ENVIRONMENT", "COLUMNS", "LINES"}
)
_COMMAND_SECONDS = 120


class LocalCluster:
    """The commands of one cluster, and what they say."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if name not in _CLEARED}
        # All clients of the tests have one address.
        unlimited = {"LIMITS": "off", "MAX_CONNECTIONS_PER_ADDRESS": "0"}
        self.environ = {**kept, "SEANCE_HOME": str(home), "PORT": "0", **unlimited, **environ}

    def seance(self, *arguments: str, expected: int | None = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; its exit code has to be the expected one (None: any)."""
        done = forked.run(
            arguments, environment={**self.environ, **environ}, folder=Path.cwd(), timeout=_COMMAND_SECONDS
        )
        assert expected is None or done.returncode == expected, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    @contextlib.contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start the command as a new interpreter and go on, its output in a pipe; it is killed at the end.

        Coverage does not measure it: the gateways that it starts would be measured too, and twice as slow.
        """
        with subprocess.Popen(
            [sys.executable, "-m", "cluster", *arguments],
            env={name: value for name, value in self.environ.items() if not name.startswith("COVERAGE_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def up(self, gateways: int = 3, workers: int = 2) -> None:
        """Start; returns when everything is ready."""
        arguments = ("up", "--no-detach", "--gateways", str(gateways), "--workers", str(workers))
        log = self.home.with_name(f"{self.home.name}.log")
        with log.open("ab") as output:
            supervisor = Forked(arguments, environment=self.environ, folder=Path.cwd(), stdout=output)

        def is_ready() -> bool:
            assert supervisor.poll() is None, log.read_text()
            record = read(Home(self.home).state)
            return record is not None and record.supervisor.pid == supervisor.pid and record.is_ready

        until(is_ready, what="a cluster that has started")

    def down(self) -> None:
        """Stop it, if it runs, and make sure that none of its processes is left."""
        pids = self.pids() if self.is_running() else {}
        self.seance("down", expected=None)
        assert [name for name, pid in pids.items() if is_running(pid)] == []

    def is_running(self) -> bool:
        """Whether a cluster runs in this home."""
        return is_running_in(Home(self.home))

    def status(self) -> dict[str, Any]:
        """What `seance status --json` prints, without starting a process for it; that of no cluster when none runs."""
        return (status_of(Home(self.home)) or Status()).public()

    def pids(self) -> dict[str, int | None]:
        """The process of each gateway, worker and service, and of the supervisor, by name."""
        status = self.status()
        record = read(Home(self.home).state)
        replicas = [*status["gateways"], *status["workers"]]
        return {
            **{one["id"]: one["pid"] for one in replicas},
            **{one["name"]: one["pid"] for one in status["services"]},
            "supervisor": record.supervisor.pid if record else None,
        }

    def wait_ready(self) -> dict[str, Any]:
        """The status once every gateway and worker is ready and every service runs."""
        return until(self._ready_status, what="a cluster whose processes are all ready")

    def _ready_status(self) -> dict[str, Any] | None:
        status = self.status()
        replicas = [*status["gateways"], *status["workers"]]
        is_ready = all(one["state"] == "ready" for one in replicas) and all(one["pid"] for one in status["services"])
        return status if replicas and is_ready else None


def is_running(pid: int | None) -> bool:
    """Whether a process with this number runs; a zombie doesn't."""
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
