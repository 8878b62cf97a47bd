"""Children and the supervisor's control: real processes and sockets, small ones."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cluster.control import protocol
from cluster.control.protocol import ControlError, Done, GetStatus, Heard, Line, Reply, Request
from cluster.process.child import Child
from cluster.process.launch import Launch
from cluster.state.records import ProcessId, Record
from cluster.state.status import Status
from tests.waiting import until

FOREVER = "import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


class Kept:
    """A child that keeps this Python code running, and what it reported."""

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


async def test_a_child_that_is_killed_runs_again(tmp_path: Path) -> None:
    """It is started anew, and the report says how it ended."""
    kept = Kept(tmp_path, FOREVER)
    first = await kept.started(1)
    kept.child.send(signal.SIGKILL)
    assert await kept.started(2) != first
    assert kept.said[0].startswith("it was ended by SIGKILL; starting it again in 0.")
    assert kept.child.restarts == 1
    await kept.child.stop(5)
    await kept.task
    assert kept.child.state == "stopped"


async def test_a_child_that_ends_is_counted(tmp_path: Path) -> None:
    """Quick ends are counted until it is ready, and its last words are at hand."""
    kept = Kept(tmp_path, "print('no good'); raise SystemExit(3)")
    await kept.started(2)
    assert kept.child.quick_ends == 1
    assert "it ended with exit code 3" in kept.said[0]
    assert kept.child.last_lines().startswith("no good")
    assert kept.child.set_state("ready")
    assert kept.child.quick_ends == 0
    await kept.child.stop(5)
    await kept.task


async def test_a_deaf_child_is_killed(tmp_path: Path) -> None:
    """What does not end when it is asked to is killed after the time that it was given."""
    kept = Kept(tmp_path, STUBBORN)
    await kept.started(1)
    await asyncio.to_thread(until, lambda: "deaf" in kept.child.last_lines())
    await kept.child.stop(0.1)
    await kept.task
    assert kept.said == ["it did not stop within 0.1 s and is killed"]


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """A start that fails is reported and tried again."""
    kept = Kept(tmp_path, "", python=str(tmp_path / "nothing"))
    await asyncio.to_thread(until, lambda: kept.child.starts == 2)
    assert kept.said[0].startswith("it can't be started: ")
    await kept.child.stop(5)
    await kept.task


async def test_a_child_can_be_stopped_before_it_starts(tmp_path: Path) -> None:
    """Asked to stop at once, it never runs."""
    kept = Kept(tmp_path, FOREVER)
    kept.child.begin_stop()
    await kept.task
    assert kept.child.starts == 0


def test_a_large_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the log moves to a second file, and starts empty."""
    monkeypatch.setattr("cluster.process.child._LOG_BYTES", 10)
    log = tmp_path / "it.log"
    log.write_text("more than ten bytes")
    child = Child("it", lambda: Launch(name="it", argv=(), folder=tmp_path), log, print, lambda: None)
    child.limit_log()
    assert (log.read_text(), (tmp_path / "it.log.1").read_text()) == ("", "more than ten bytes")


async def echo(_: Request) -> AsyncIterator[Reply]:
    """Answers every request with a line and an end."""
    yield Line("said")
    yield Done(status=Status(url="here"))


def replies(record: Record, token: str) -> Iterator[Reply]:
    """What the supervisor of this record replies to a question after its status."""
    return protocol.ask(record, GetStatus(token), 5)


async def test_control_answers_the_token() -> None:
    """With the token there are replies, first of all that it heard; without it the connection ends."""
    server = await protocol.serve("secret", echo)
    record = Record(ProcessId(1, 1), server.sockets[0].getsockname()[1], "secret", is_ready=True)
    assert await asyncio.to_thread(lambda: list(replies(record, "secret"))) == [
        Heard(),
        Line("said"),
        Done(status=Status(url="here")),
    ]
    assert await asyncio.to_thread(lambda: list(replies(record, "guessed"))) == []
    server.close()


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"{}\n", b"\xff\n", b"x" * 100_000, b""])
async def test_control_ignores_strangers(line: bytes) -> None:
    """What is no request gets no answer, only the end of the connection."""
    server = await protocol.serve("secret", echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    writer.write(line)
    writer.write_eof()
    # A reset instead of an end: it did not read everything.
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    server.close()


def test_a_supervisor_that_is_gone() -> None:
    """Nobody at the port of the record is an error that says so."""
    record = Record(ProcessId(1, 1), 1, "secret", is_ready=True)
    with pytest.raises(ControlError, match="does not answer"):
        list(replies(record, "secret"))
