"""The `seance` command in a fork of a process that has imported the project: a start costs a tenth of the CPU time.

The child is a process of its own, with its own id, environment, working folder, files and signals, as after an exec.
Tests of the command line as such (`LocalCluster.start`, the supervisor's own children) start a new interpreter.
"""

import fcntl
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Mapping
from multiprocessing import reduction
from pathlib import Path
from typing import IO, Any

_CONTEXT = multiprocessing.get_context("forkserver")
# What the commands import, at once or later.
_CONTEXT.set_forkserver_preload(
    [
        "cluster.cli",
        "cluster.checks.report",
        "cluster.console.table",
        "cluster.console.views",
        "cluster.control.local",
        "cluster.migrate",
        "cluster.process.detach",
        "cluster.supervisor.supervisor",
        "gateway.serve",
        "persistence.worker",
        "coverage",
        __name__,
    ]
)


class _File:
    """A file of this process that the child gets too."""

    def __init__(self, file: IO[Any] | int) -> None:
        self._number = file if isinstance(file, int) else file.fileno()

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _detach, (reduction.DupFd(self._number),)


def _detach(duplicate: Any) -> int:
    number: int = duplicate.detach()
    return number


class Forked:
    """A running command; it has the part of `subprocess.Popen` that the tests need.

    `stderr` is by default `stdout`, and `stdin` empty. `has_terminal`: `stdin` is the terminal of a session of its own.
    """

    def __init__(
        self,
        arguments: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        folder: Path,
        stdout: IO[Any] | int,
        stderr: IO[Any] | int | None = None,
        stdin: IO[Any] | int | None = None,
        has_terminal: bool = False,
    ) -> None:
        files = (None if stdin is None else _File(stdin), _File(stdout), _File(stderr or stdout))
        self._process = _CONTEXT.Process(
            target=_run,
            args=(arguments, dict(environment), folder, files),
            kwargs={"has_terminal": has_terminal},
            daemon=True,
        )
        _start_server()
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended the process; None while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """`poll` at the end of the process. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)


def run(
    arguments: tuple[str, ...], *, environment: Mapping[str, str], folder: Path, timeout: float, said: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with `said` as its input. Raises `subprocess.TimeoutExpired`."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(said.encode())
        stdin.seek(0)
        process = Forked(arguments, environment=environment, folder=folder, stdin=stdin, stdout=stdout, stderr=stderr)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, code, _text(stdout), _text(stderr))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _start_server() -> None:
    """Start the process that forks, if there is none yet. Coverage must not measure it: each child begins anew."""
    measured = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("COVERAGE_")}
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.update(measured)


def _run(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    folder: Path,
    files: tuple[int | None, int, int],
    *,
    has_terminal: bool,
) -> None:
    """In the child: become what `python -m cluster` with these arguments would be."""
    for number, file in enumerate(files):
        if file is not None:
            os.dup2(file, number)
            os.close(file)
    if has_terminal:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # The old objects belong to the files of the process that forked.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if environment.get("PYTHONPATH"):
        sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
    import coverage

    from cluster.cli import main

    measured = coverage.process_startup(force=True)
    # What this process starts is not measured: that would double the CPU time of each start.
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        del os.environ[name]
    try:
        main(arguments, prog_name="seance")
    finally:
        # No exit function runs in a child of multiprocessing.
        if measured is not None:
            measured.stop()
            measured.save()
