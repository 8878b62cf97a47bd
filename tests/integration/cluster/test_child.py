"""Child processes: started again when they end, stopped when the supervisor asks."""

import asyncio
import signal
import sys
from pathlib import Path

from cluster.process.child import Child
from cluster.process.launch import Launch
from tests.waiting import until

FOREVER = "import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ignores', flush=True); signal.pause()"


class Kept:
    """A child that keeps this Python code running, and the lines that the child reported."""

    def __init__(self, folder: Path, code: str, *, python: str = sys.executable) -> None:
        self.said: list[str] = []
        self.changed = asyncio.Event()
        launch = Launch(name="it", argv=(python, "-c", code), folder=folder)
        self.child = Child("it", lambda: launch, folder / "it.log", self.said.append, self.changed.set)
        self.task = asyncio.create_task(self.child.run())

    async def started(self, count: int) -> int:
        """The process number of its start number `count`."""
        async with asyncio.timeout(10):
            while self.child.starts < count or self.child.pid is None:
                self.changed.clear()
                await self.changed.wait()
        return self.child.pid


async def test_a_killed_child_runs_again(tmp_path: Path) -> None:
    """A killed process is started again, and the report says how the process ended."""
    kept = Kept(tmp_path, FOREVER)
    first = await kept.started(1)
    kept.child.send(signal.SIGKILL)
    assert await kept.started(2) != first
    assert kept.said[0].startswith("it was ended by SIGKILL; starting it again in 0.")
    assert kept.child.restarts == 1
    await kept.child.stop(5)
    await kept.task
    assert kept.child.state == "stopped"


async def test_quick_ends_are_counted_until_the_child_is_ready(tmp_path: Path) -> None:
    """Quick ends are counted until the child is ready, and the last lines of its log can be read."""
    kept = Kept(tmp_path, "print('no good'); raise SystemExit(3)")
    await kept.started(2)
    assert kept.child.quick_ends == 1
    assert "it ended with exit code 3" in kept.said[0]
    assert kept.child.last_lines().startswith("no good")
    assert kept.child.set_state("ready")
    assert kept.child.quick_ends == 0
    await kept.child.stop(5)
    await kept.task


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """A process that does not end in time after SIGTERM is killed."""
    kept = Kept(tmp_path, STUBBORN)
    await kept.started(1)
    await asyncio.to_thread(until, lambda: "ignores" in kept.child.last_lines())
    await kept.child.stop(0.1)
    await kept.task
    assert kept.said == ["it did not stop within 0.1 s and is killed"]


async def test_a_start_that_fails_is_reported_and_repeated(tmp_path: Path) -> None:
    """When the program does not exist, the start is reported as failed and tried again."""
    kept = Kept(tmp_path, "", python=str(tmp_path / "nothing"))
    await asyncio.to_thread(until, lambda: kept.child.starts == 2)
    assert kept.said[0].startswith("it can't be started: ")
    await kept.child.stop(5)
    await kept.task


async def test_a_child_that_is_stopped_at_once_never_starts(tmp_path: Path) -> None:
    """A child that is stopped before its task runs starts no process."""
    kept = Kept(tmp_path, FOREVER)
    kept.child.begin_stop()
    await kept.task
    assert kept.child.starts == 0


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    """Beyond the limit, the log moves to a second file and begins anew."""
    log = tmp_path / "it.log"
    log.write_text("more than ten bytes")
    child = Child("it", lambda: Launch(name="it", argv=(), folder=tmp_path), log, print, lambda: None, log_bytes=10)
    child.limit_log()
    assert (log.read_text(), (tmp_path / "it.log.1").read_text()) == ("", "more than ten bytes")
