"""The record of a running cluster on disk: how the supervisor is reached, and which processes belong to it."""

import os
from pathlib import Path

import msgspec
import psutil

from broker.secrecy import concealed

# The system counts start times from boot, so setting the clock moves a start time a little.
_SAME_START_SECONDS = 2.0


class ProcessId(msgspec.Struct, frozen=True):
    """A process, identified by its number and its start: the system reuses numbers."""

    pid: int
    started: float
    """Seconds since the epoch."""


class Record(msgspec.Struct, frozen=True):
    """The content of `state.json`: how to reach the supervisor, and every process that it started."""

    supervisor: ProcessId
    control_port: int
    token: str
    is_ready: bool
    processes: tuple[ProcessId, ...] = ()

    def __repr__(self) -> str:
        return concealed(self, "token")


def identify(pid: int) -> ProcessId | None:
    """The identity of the process with this number, None when there is no such process."""
    try:
        return ProcessId(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs; a zombie does not run."""
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < _SAME_START_SECONDS
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def kill_all(processes: tuple[ProcessId, ...], timeout_seconds: float) -> int:
    """Kill the processes that still run, and wait until they are gone; return their number."""
    alive = [psutil.Process(one.pid) for one in processes if is_alive(one)]
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=timeout_seconds)
    return len(alive)


def write(path: Path, record: Record) -> None:
    """Replace the file in one step; only the owner may read the file, because it holds the token."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(record))
    new.replace(path)


def read(path: Path) -> Record | None:
    """The record, None when the file is missing or damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None
