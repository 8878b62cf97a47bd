"""Server processes: pinned, started, measured by the kernel's accounting, and ended by their process ids."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from cluster.process.launch import Launch, start

_CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
_NANOSECONDS: Final = 1e9
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0


class Cores(msgspec.Struct, frozen=True):
    """The cores of the servers, the cores of the load, and all cores for scenarios that pin nothing."""

    server: frozenset[int]
    load: frozenset[int]

    @property
    def every(self) -> frozenset[int]:
        """All cores."""
        return self.server | self.load


def divide_cores() -> Cores:
    """One core for the server, the others for the load."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({first}), frozenset(others or (first,)))


@contextlib.contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Processes started in this context run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """A process that was started here."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.pid = popen.pid
        self._popen = popen
        self._log = log

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Return once the process is ready. Raises RuntimeError with its log when it ends, or is not ready in 30 s."""
        deadline = time.monotonic() + _START_SECONDS
        while self._popen.poll() is None and time.monotonic() < deadline:
            if is_ready():
                return
            time.sleep(0.02)
        said = self._log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.name} did not start (exit code {self._popen.poll()}): {said}")

    def stop(self) -> None:
        """End the process, with SIGKILL when SIGTERM does not end it."""
        if self._popen.poll() is None:
            self._popen.terminate()
        try:
            self._popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far."""
        return cpu_seconds(self.pid)

    def resident_bytes(self) -> int:
        """The resident memory of the process."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.name} has ended")


def launch(
    name: str, argv: Sequence[str], folder: Path, cores: frozenset[int], environment: Mapping[str, str] | None = None
) -> Server:
    """Start a process in `folder`, with its output in a log there."""
    described = Launch(name=name, argv=tuple(argv), folder=folder, environment={**inherited(), **(environment or {})})
    return launch_described(described, folder / f"{name}.log", cores)


def launch_described(described: Launch, log: Path, cores: frozenset[int]) -> Server:
    """Start a process from its launch description."""
    with pinned(cores):
        return Server(described.name, start(described, log), log)


def inherited() -> dict[str, str]:
    """The environment of a server, without the product's settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name in kept}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process: the scheduler's nanoseconds where there are any, else ticks of 10 ms.

    Both are the same clock; `/proc/<pid>/stat` only shows it in ticks, too coarse for short rounds.
    """
    total = 0
    with contextlib.suppress(OSError, ValueError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):
                total += int((task / "schedstat").read_text().split()[0])
    if total:
        return total / _NANOSECONDS
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


def cpu_of(servers: Iterable[Server]) -> float:
    """The CPU seconds of several servers together."""
    return sum(server.cpu_seconds() for server in servers)
