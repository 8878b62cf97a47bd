"""The `seance` command in a fork of a process that has imported the project: a start costs a tenth of the CPU time.

The child is a process of its own, with its own id, environment, working folder, output and signals, as after an exec.
What an exec would add, the imports, is what the tests of the command line itself still run (tests/local.py).
"""

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
# What gateways and workers import, now or later.
_CONTEXT.set_forkserver_preload(["cluster.cli", "gateway.serve", "persistence.worker", "coverage", __name__])


class Forked:
    """One process; it has the part of `subprocess.Popen` that tests of gateways and workers need."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self._process = _CONTEXT.Process(target=_run, args=(arguments, dict(environment), folder, log), daemon=True)
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


def _start_server() -> None:
    """Start the process that forks, if there is none yet. Coverage must not measure it: each child begins anew."""
    measured = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("COVERAGE_")}
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.update(measured)


def _run(arguments: tuple[str, ...], environment: dict[str, str], folder: Path, log: Path) -> None:
    """In the child: become what `python -m cluster` with these arguments would be."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    import coverage

    from cluster.cli import main

    measured = coverage.process_startup(force=True)
    try:
        main(arguments, prog_name="seance")
    finally:
        # No exit function runs in a child of multiprocessing.
        if measured is not None:
            measured.stop()
            measured.save()
