"""The local cluster where things go otherwise: a terminal, no balancer, broken settings, a hung supervisor."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.local import LocalCluster, is_running
from tests.terminal import Terminal
from tests.waiting import until


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalCluster]:
    """A home of its own; whatever runs there at the end is stopped."""
    cluster = LocalCluster(tmp_path)
    yield cluster
    cluster.down()


def test_a_terminal_shows_the_live_status(local: LocalCluster) -> None:
    """`up` on a terminal shows a table of all processes; Ctrl-C drains and stops them in order."""
    terminal = Terminal(local.environ, "up", "--gateways", "2", "--workers", "1")
    try:
        until(lambda: terminal.shows("events/s"), what="the live table")
        words = ("gw-1", "gw-2", "worker-1", "redis", "postgres", "balancer", "sockets", "lag", "Ctrl-C")
        until(lambda: all(terminal.shows(word) for word in words), what="a table of all processes")
        pids = local.pids()
        terminal.type(b"\x03")
        until(lambda: terminal.shows("stopped; the data is kept"), what="the end")
        assert terminal.process.wait(60) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
    assert [name for name, pid in pids.items() if is_running(pid)] == []
    assert "SIGINT" not in terminal.said


def test_a_terminal_that_closes_stops_the_cluster(local: LocalCluster) -> None:
    """When the terminal goes away, everything is stopped as with Ctrl-C."""
    terminal = Terminal(local.environ, "up", "--gateways", "1", "--workers", "1")
    try:
        until(lambda: terminal.shows("events/s"), what="the live table")
        pids = local.pids()
    finally:
        os.close(terminal.master)
    assert terminal.process.wait(60) == 0
    assert [name for name, pid in pids.items() if is_running(pid)] == []


def test_without_a_balancer_one_gateway_serves_the_port(local: LocalCluster) -> None:
    """Where there is no HAProxy the gateway itself has the port; more than one is refused, a restart works."""
    local.seance("up", "--detach", "--no-balancer", "--gateways", "2")
    status = local.wait_ready()
    assert [one["name"] for one in status["services"]] == ["redis", "postgres"]
    assert [one["url"] for one in status["gateways"]] == [status["url"]]
    assert httpx.get(f"{status['url']}/ready", trust_env=False).status_code == 200
    assert "no balancer" in local.seance("scale", "--gateways", "2", expected=1).stderr
    local.seance("restart")
    assert httpx.get(f"{status['url']}/ready", trust_env=False).status_code == 200


def test_a_gateway_that_can_not_start_ends_up(local: LocalCluster) -> None:
    """When gateways end at once, `up` gives up, shows their last words, and leaves no process."""
    local.up(gateways=1, workers=1)
    local.down()
    failed = local.seance("up", "--detach", expected=1, PARTITIONS="8")
    assert "does not start; its log" in failed.stdout
    assert "PARTITIONS=16" in failed.stdout
    assert "is killed" not in failed.stdout
    local.seance("status", expected=3)


def test_a_supervisor_that_hangs_is_killed(local: LocalCluster) -> None:
    """`down` ends a cluster whose supervisor no longer answers, and all its processes."""
    local.up(gateways=1, workers=1)
    pids = local.pids()
    supervisor = pids["supervisor"]
    assert supervisor is not None
    os.kill(supervisor, signal.SIGSTOP)
    said = local.seance("down")
    assert "killing it" in said.stderr
    assert [name for name, pid in pids.items() if is_running(pid)] == []


def test_ctrl_c_while_the_cluster_starts_stops_what_was_started(local: LocalCluster) -> None:
    """Ctrl-C during `up --detach` stops what was started so far; the exit code tells that it is not running."""
    with local.start("up", "--detach", "--gateways", "8") as starting:
        until((local.home / "state.json").exists, what="a supervisor")
        starting.send_signal(signal.SIGINT)
        said, _ = starting.communicate(timeout=60)
    assert starting.returncode == 1, said
    assert "stopped; the data is kept" in said
    local.seance("status", expected=3)


def test_a_second_sigterm_kills_what_has_not_drained(local: LocalCluster) -> None:
    """A second SIGTERM kills what has not drained yet, but the servers still write their data."""
    with local.start("up", "--gateways", "2") as process:
        until(local.is_running, what="a cluster")
        local.wait_ready()
        pids = local.pids()
        gateway = pids["gw-1"]
        assert gateway is not None
        os.kill(gateway, signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert "stopping\n" in iter(process.stdout.readline, "")
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert "stopping at once" in said
    assert process.returncode == 0
    assert [name for name, pid in pids.items() if is_running(pid)] == []


def test_a_pipe_that_closes_does_not_matter(local: LocalCluster) -> None:
    """When nobody reads what `up` says any more, the cluster goes on, and stops as it should."""
    with local.start("up", "--gateways", "1") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        until(local.is_running, what="a cluster")
        pids = local.wait_ready() and local.pids()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [name for name, pid in pids.items() if is_running(pid)] == []
