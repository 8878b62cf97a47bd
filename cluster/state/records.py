"""The record of a running cluster on disk, and what is said about one by `seance status`."""

import os
from pathlib import Path
from typing import Any, Literal

import msgspec
import psutil

ProcessState = Literal["starting", "ready", "unready", "draining", "stopped"]
Reached = Literal["up", "down", "unknown"]
"""Whether a gateway reaches a server."""

# The system reports start times in ticks since boot; a clock that is set meanwhile moves the sum a little.
_SAME_START_SECONDS = 2.0


class ProcessId(msgspec.Struct, frozen=True):
    """A process and when it started: a number alone may meanwhile belong to something else."""

    pid: int
    started: float
    """Seconds since the epoch."""


class Record(msgspec.Struct, frozen=True):
    """What `state.json` holds: how the supervisor is reached, and every process it started."""

    supervisor: ProcessId
    control_port: int
    token: str
    is_ready: bool
    processes: tuple[ProcessId, ...] = ()


class GatewayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway replica; rates are per second over the last poll."""

    id: str
    url: str
    pid: int | None
    state: ProcessState
    restarts: int = 0
    sockets: int = 0
    sessions: int = 0
    events_rate: float = 0.0
    deliveries_rate: float = 0.0
    loop_lag_seconds: float = 0.0
    backlog: int = 0
    """Entries of the fullest partition that wait for Postgres, up to `backlog_limit`; all gateways see the same."""
    backlog_limit: int = 0
    dead_letters: int = 0
    redis: Reached = "unknown"
    postgres: Reached = "unknown"


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker; `lag` counts the entries of its partitions that are not in Postgres yet."""

    id: str
    url: str
    """Where its metrics are."""
    pid: int | None
    state: ProcessState
    lag: int
    restarts: int = 0
    missing: int = 0
    """Events that were lost before they came here."""


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One embedded server, or the balancer."""

    name: str
    pid: int | None
    restarts: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a cluster; without one, the URLs are None and the rest is empty."""

    url: str | None = None
    redis_url: str | None = None
    database_url: str | None = None
    gateways: tuple[GatewayStatus, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    services: tuple[ServiceStatus, ...] = ()

    def public(self) -> dict[str, Any]:
        """The object of `seance status --json`, exactly as the wire contract has it."""
        return {
            "url": self.url,
            "redis_url": self.redis_url,
            "database_url": self.database_url,
            "gateways": [{"id": one.id, "url": one.url, "pid": one.pid, "state": one.state} for one in self.gateways],
            "workers": [
                {"id": one.id, "url": one.url, "pid": one.pid, "state": one.state, "lag": one.lag}
                for one in self.workers
            ],
            "services": [{"name": one.name, "pid": one.pid} for one in self.services],
        }


def identify(pid: int) -> ProcessId | None:
    """The process with this number, or None when there is none."""
    try:
        return ProcessId(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_alive(process: ProcessId) -> bool:
    """Whether this very process still runs; a zombie doesn't."""
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < _SAME_START_SECONDS
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def kill_all(processes: tuple[ProcessId, ...], timeout_seconds: float) -> int:
    """Kill those that still run and wait until they are gone; how many there were."""
    alive = [psutil.Process(one.pid) for one in processes if is_alive(one)]
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=timeout_seconds)
    return len(alive)


def write(path: Path, record: Record) -> None:
    """Replace the file in one step; only its owner may read it, because it holds the token."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(record))
    new.replace(path)


def read(path: Path) -> Record | None:
    """The record, or None when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None
