"""One process of the cluster: started, and started again whenever it ends, until the supervisor stops it."""

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cluster.process.backoff import RestartBackoff
from cluster.process.launch import Launch, start_async
from cluster.state.status import ProcessState

# A log beyond this size is put aside; one older file is kept.
_LOG_BYTES = 50_000_000
# A process that has ended this often without becoming ready will not become ready.
_HOPELESS_ENDS = 3
_EXIT_CONFIGURATION = 2


class Child:
    """Keeps one process running.

    `make_launch` is called before every start. `report` gets lines for people. `changed` is called after every start
    and end. `log_bytes` is the size beyond which `limit_log` puts the log aside.
    """

    def __init__(
        self,
        name: str,
        make_launch: Callable[[], Launch],
        log: Path,
        report: Callable[[str], None],
        changed: Callable[[], None],
        *,
        log_bytes: int = _LOG_BYTES,
    ) -> None:
        self.name = name
        self.log = log
        self.state: ProcessState = "starting"
        self.starts = 0
        self.quick_ends = 0
        """Ends of the process since it was last ready."""
        self.started_at = 0.0
        """The last start of the process, in seconds since the epoch."""
        self._make_launch = make_launch
        self._report = report
        self._changed = changed
        self._log_bytes = log_bytes
        self._backoff = RestartBackoff()
        self._last_code = 0
        self._process: asyncio.subprocess.Process | None = None
        self._stop_signal = signal.SIGTERM
        self._is_stopping = asyncio.Event()
        self._has_stopped = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The id of the running process, None while no process runs."""
        return self._process.pid if self.is_running and self._process is not None else None

    @property
    def is_running(self) -> bool:
        """Whether a process runs now."""
        return self._process is not None and self._process.returncode is None

    @property
    def is_hopeless(self) -> bool:
        """Whether the process ended often, or with the exit code of a wrong configuration, and was never ready."""
        return self.quick_ends >= _HOPELESS_ENDS or (self.quick_ends > 0 and self._last_code == _EXIT_CONFIGURATION)

    @property
    def restarts(self) -> int:
        """How often the process was started again."""
        return max(0, self.starts - 1)

    async def run(self) -> None:
        """Keep the process running until `stop`. The supervisor runs this as a task."""
        try:
            while not self._is_stopping.is_set():
                ended = await self._run_once()
                if not self._is_stopping.is_set():
                    await self._wait_before_restart(ended)
        finally:
            self.state = "stopped"
            self._has_stopped.set()
            self._changed()

    def set_state(self, state: ProcessState) -> bool:
        """Set what a probe found; return whether the state changed. A draining or stopped process keeps its state."""
        if not self.is_running or self.state in (state, "draining"):
            return False
        self.state = state
        if state == "ready":
            self.quick_ends = 0
        return True

    def begin_stop(self, with_signal: signal.Signals | None = None) -> None:
        """Ask the process to end, and start no other."""
        self._is_stopping.set()
        if self.is_running:
            self.state = "draining"
            self.send(with_signal or self._stop_signal)

    async def stop(self, timeout_seconds: float) -> None:
        """End the process: ask, wait, then kill."""
        self.begin_stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._has_stopped.wait()
                return
        self._report(f"{self.name} did not stop within {timeout_seconds:g} s and is killed")
        self.send(signal.SIGKILL)
        await self._has_stopped.wait()

    def send(self, with_signal: signal.Signals) -> None:
        """Send a signal to the process if the process runs."""
        if self.is_running and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(with_signal)

    def last_lines(self, count: int = 15) -> str:
        """The last lines of the log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])
        except OSError:
            return ""

    def limit_log(self) -> None:
        """Put the log aside when it is too large; the process goes on writing to the emptied file."""
        try:
            if self.log.stat().st_size > self._log_bytes:
                self.log.with_suffix(".log.1").write_bytes(self.log.read_bytes())
                self.log.write_bytes(b"")
        except FileNotFoundError:
            pass

    async def _run_once(self) -> tuple[int, float]:
        """Start the process and wait for its end; return the exit code, and for how many seconds the process ran."""
        started = time.monotonic()
        self.state = "starting"
        self.starts += 1
        self.started_at = time.time()
        try:
            launch = self._make_launch()
            self._stop_signal = launch.stop_signal
            self._process = await start_async(launch, self.log)
        except (OSError, subprocess.SubprocessError) as error:
            self._report(f"{self.name} can't be started: {error}")
            return 1, 0.0
        self._changed()
        if self._is_stopping.is_set():
            # `begin_stop` was called during the start, when there was no process to signal.
            self.begin_stop()
        code = await self._process.wait()
        return code, time.monotonic() - started

    async def _wait_before_restart(self, ended: tuple[int, float]) -> None:
        code, ran_seconds = ended
        self._last_code = code
        self.state = "stopped"
        self.quick_ends += 1
        self._changed()
        delay = self._backoff.next_seconds(ran_seconds)
        self._report(f"{self.name} {_how(code)}; starting it again in {delay:.1f} s")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._is_stopping.wait()


def _how(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
