"""The record on disk, process identities, and what status says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.console.views import lines
from cluster.state import records
from cluster.state.records import ProcessId, Record
from cluster.state.status import GatewayStatus, ServiceStatus, Status, WorkerStatus

STATUS = Status(
    url="http://127.0.0.1:8000",
    redis_url="redis://:s@127.0.0.1:1/0",
    database_url="postgresql://postgres:s@127.0.0.1:2/seance",
    gateways=(GatewayStatus(id="gw-1", url="http://127.0.0.1:41001", pid=123, state="ready", sockets=7, restarts=2),),
    workers=(WorkerStatus(id="worker-1", url="http://127.0.0.1:41009", pid=None, state="stopped", lag=5, restarts=1),),
    services=(ServiceStatus(name="redis", pid=121),),
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A written record is read unchanged, and only its owner may read the file."""
    path = tmp_path / "state.json"
    record = Record(ProcessId(1, 2.5), 41000, "token", is_ready=True, processes=(ProcessId(3, 4.5),))
    records.write(path, record)
    assert record == records.read(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"supervisor": 1}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: bytes | None) -> None:
    """A missing or damaged record is None."""
    path = tmp_path / "state.json"
    if content is not None:
        path.write_bytes(content)
    assert records.read(path) is None


def test_a_process_is_identified_by_number_and_start() -> None:
    """The same number with another start time is another process."""
    me = records.identify(os.getpid())
    assert me is not None
    assert records.is_alive(me)
    assert not records.is_alive(ProcessId(me.pid, me.started - 60))


def test_kill_all_spares_a_process_with_a_reused_number() -> None:
    """Only the processes of the list are killed, not a process that has one of their numbers now."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        it = records.identify(process.pid)
        assert it is not None
        assert records.kill_all((ProcessId(it.pid, it.started - 60),), 5) == 0
        assert process.poll() is None
        assert records.kill_all((it,), 5) == 1
    assert records.identify(process.pid) is None
    assert not records.is_alive(it)


def test_public_status_is_the_contract() -> None:
    """`status --json` has exactly the fields of the wire contract."""
    assert STATUS.public() == {
        "url": "http://127.0.0.1:8000",
        "redis_url": "redis://:s@127.0.0.1:1/0",
        "database_url": "postgresql://postgres:s@127.0.0.1:2/seance",
        "gateways": [{"id": "gw-1", "url": "http://127.0.0.1:41001", "pid": 123, "state": "ready"}],
        "workers": [{"id": "worker-1", "url": "http://127.0.0.1:41009", "pid": None, "state": "stopped", "lag": 5}],
        "services": [{"name": "redis", "pid": 121}],
    }


def test_status_in_words_keeps_passwords() -> None:
    """The lines for people name every process and no password."""
    said = "\n".join(lines(STATUS))
    for part in ("http://127.0.0.1:8000", "gw-1", "7 sockets", "restarted 2 times", "worker-1", "lag 5", "redis"):
        assert part in said
    assert ":s@" not in said


def test_status_in_words_marks_what_is_wrong() -> None:
    """Without colours, what somebody should look at has a mark."""
    worst = GatewayStatus(
        id="gw-1",
        url="http://127.0.0.1:1",
        pid=1,
        state="ready",
        loop_lag_seconds=0.3,
        backlog=9,
        backlog_limit=10,
        dead_letters=1,
        redis="down",
        postgres="down",
    )
    worker = WorkerStatus(id="worker-1", url="http://127.0.0.1:2", pid=2, state="ready", lag=3, missing=4)
    (said,) = lines(Status(gateways=(worst,), workers=(worker,)))[-1:]
    assert said == (
        "lag 3, backlog 90% of its limit (!), dead letters 1 (!), missing 4 (!), loop lag 300 ms (!), "
        "Redis away from gw-1 (!), Postgres away from gw-1 (!)"
    )
    assert "(!)" not in "\n".join(lines(STATUS))


@pytest.mark.parametrize(("restarts", "words"), [(0, "0 sockets, 1 session"), (1, "restarted once"), (2, "2 times")])
def test_status_in_words_counts_as_people_do(restarts: int, words: str) -> None:
    """One restart and one session are singular, and no restart is not worth a word."""
    gateway = GatewayStatus(id="gw-1", url="http://127.0.0.1:1", pid=1, state="ready", restarts=restarts, sessions=1)
    said = "\n".join(lines(Status(url="http://127.0.0.1:8000", gateways=(gateway,))))
    assert words in said
    assert ("restarted" in said) == (restarts > 0)


def test_status_in_words_says_when_clients_are_not_served() -> None:
    """Every replica may be ready while the port for clients is not: the lines say why, with a mark."""
    gateway = GatewayStatus(id="gw-1", url="http://127.0.0.1:1", pid=1, state="ready")
    said = "\n".join(lines(Status(url="http://127.0.0.1:8000", problem="no answer", gateways=(gateway,))))
    assert "clients are not served: no answer (!)" in said
