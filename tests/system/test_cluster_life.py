"""The local cluster as its users see it: up, kills, scale, restart, down, up again."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from redis import Redis

from tests.local import LocalCluster, is_running
from tests.services import run_apart
from tests.waiting import until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """One running cluster for the tests of this module: 2 gateways, 1 worker; each of them costs a second of CPU."""
    # As deep as in the workspace of a build server: the path of a socket there is longer than its 107 bytes.
    local = LocalCluster(tmp_path_factory.mktemp("cluster") / ("deep" * 25))
    local.up(gateways=2, workers=1)
    try:
        yield local
    finally:
        local.down()


def get(url: str) -> int:
    """The status code of a GET; 0 without an answer."""
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code
    except httpx.HTTPError:
        return 0


def test_everything_is_ready_when_up_returns(cluster: LocalCluster) -> None:
    """`up --detach` returns when gateways, workers and balancer serve, each gateway on a port of its own."""
    status = cluster.status()
    assert [one["id"] for one in status["gateways"]] == ["gw-1", "gw-2"]
    assert [one["id"] for one in status["workers"]] == ["worker-1"]
    assert [one["name"] for one in status["services"]] == ["redis", "postgres", "balancer"]
    assert {one["state"] for one in (*status["gateways"], *status["workers"])} == {"ready"}
    urls = {one["url"] for one in status["gateways"]} | {status["url"]}
    assert len(urls) == 3
    assert {get(f"{url}/ready") for url in urls} == {200}


def test_status_in_words_names_every_replica(cluster: LocalCluster) -> None:
    """`seance status` prints the replicas with their own addresses and no password, or with --json all of it."""
    assert json.loads(cluster.seance("status", "--json").stdout) == cluster.status()
    said = cluster.seance("status").stdout
    for one in cluster.status()["gateways"]:
        assert f"{one['id']} " in said
        assert one["url"] in said
    assert "://:" not in said


def test_a_second_up_applies_changed_numbers_and_starts_nothing(cluster: LocalCluster) -> None:
    """In a home with a running cluster, `up` scales to the numbers that are set, shows the status, and succeeds."""
    before = cluster.pids()
    for arguments in (("up",), ("up", "--detach", "--workers", "1")):
        said = cluster.seance(*arguments).stdout
        assert "runs already" in said
        assert f"clients: {cluster.status()['url']}" in said
    assert cluster.pids() == before
    cluster.seance("up", "--gateways", "3", "--workers", "2")
    assert cluster.pids().keys() == before.keys() | {"gw-3", "worker-2"}
    cluster.seance("up", GATEWAYS="2", WORKERS="1")
    assert cluster.pids() == before


def test_a_second_up_with_another_port_is_refused(cluster: LocalCluster) -> None:
    """The port of a running cluster can't change: `up` names both ports and says what to do."""
    refused = cluster.seance("up", "--port", "1", expected=1).stderr
    assert f"has port {cluster.status()['url'].rpartition(':')[2]}, and PORT is 1" in refused
    assert "make down" in refused


def test_check_finds_everything_in_order(cluster: LocalCluster) -> None:
    """`seance check` looks into the servers of the running cluster and finds nothing to mend."""
    said = cluster.seance("check").stdout
    assert "BAD" not in said
    for part in ("noeviction", "appendonly: yes", "partitions: 16", "newest revision", "running cluster"):
        assert part in said


@pytest.mark.parametrize("name", ["gw-2", "worker-1", "balancer", "redis", "postgres"])
def test_a_killed_process_comes_back(cluster: LocalCluster, name: str) -> None:
    """After kill -9 the same process runs anew, and everything is ready again."""
    before = cluster.pids()
    killed = before[name]
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    until(lambda: cluster.pids()[name] not in (None, killed), what=f"a new {name}")
    status = cluster.wait_ready()
    until(lambda: get(f"{status['url']}/ready") == 200, what="the balancer serving")
    after = cluster.pids()
    assert {one for one in before if before[one] != after[one]} == {name}


def test_the_balancer_serves_while_a_gateway_is_gone(cluster: LocalCluster) -> None:
    """Right after a gateway was killed, no request through the balancer fails."""
    url = cluster.status()["url"]
    killed = cluster.pids()["gw-1"]
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    assert {get(f"{url}/live") for _ in range(50)} == {200}
    cluster.wait_ready()


def test_scale_adds_missing_and_drains_surplus_replicas(cluster: LocalCluster) -> None:
    """`scale` starts what is missing and drains what is too many; the others keep running."""
    before = cluster.pids()
    cluster.seance("scale", "--gateways", "4", "--workers", "2")
    status = cluster.wait_ready()
    assert [one["id"] for one in status["gateways"]] == [f"gw-{number}" for number in range(1, 5)]
    assert [one["id"] for one in status["workers"]] == ["worker-1", "worker-2"]
    grown = cluster.pids()
    cluster.seance("scale", GATEWAYS="2", WORKERS="1")
    cluster.wait_ready()
    assert cluster.pids() == before
    assert not any(is_running(grown[name]) for name in ("gw-3", "gw-4", "worker-2"))


def test_restart_replaces_the_gateways_one_by_one(cluster: LocalCluster) -> None:
    """Every gateway is a new process afterwards, the rest is untouched, and the balancer served all the time."""
    before = cluster.pids()
    url = cluster.status()["url"]
    with cluster.start("restart") as restarting:
        answers = set()
        while restarting.poll() is None:
            answers.add(get(f"{url}/live"))
    assert answers == {200}
    after = cluster.pids()
    assert {name for name in before if before[name] != after[name]} == {"gw-1", "gw-2"}
    assert {one["state"] for one in cluster.status()["gateways"]} == {"ready"}


def test_the_only_gateway_is_replaced_without_a_gap(cluster: LocalCluster) -> None:
    """With one gateway, a temporary one serves while it is replaced."""
    cluster.seance("scale", "--gateways", "1")
    before = cluster.pids()["gw-1"]
    said = cluster.seance("restart").stdout
    assert "gw-2: ready" in said
    assert [one["id"] for one in cluster.status()["gateways"]] == ["gw-1"]
    assert cluster.pids()["gw-1"] != before
    cluster.seance("scale", "--gateways", "2")


async def _remember(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE IF NOT EXISTS remembered (word text)")
    await connection.execute("INSERT INTO remembered VALUES ('kept')")
    await connection.close()


async def _remembered(database_url: str) -> list[str]:
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT word FROM remembered")
    await connection.close()
    return [row["word"] for row in rows]


def test_down_leaves_no_process_and_up_finds_the_data(cluster: LocalCluster) -> None:
    """`down` ends every process and keeps the data of both servers; the next `up` finds it."""
    status = cluster.status()
    run_apart(_remember(status["database_url"]))
    with Redis.from_url(status["redis_url"]) as client:
        client.set("remembered", "kept")
    pids = cluster.pids()
    cluster.seance("down")
    assert [name for name, pid in pids.items() if is_running(pid)] == []
    assert cluster.seance("status", "--json", expected=3).returncode == 3
    assert cluster.status()["url"] is None
    cluster.seance("down", expected=3)
    cluster.up(gateways=2, workers=1)
    status = cluster.status()
    assert run_apart(_remembered(status["database_url"])) == ["kept"]
    with Redis.from_url(status["redis_url"]) as client:
        assert client.get("remembered") == b"kept"


def test_nothing_outlives_a_killed_supervisor(cluster: LocalCluster) -> None:
    """After kill -9 of the supervisor its children end too, status says so, and the next `up` works."""
    pids = cluster.pids()
    supervisor = pids["supervisor"]
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not any(is_running(pid) for pid in pids.values()), what="the end of all processes")
    assert cluster.seance("status", expected=3).returncode == 3
    cluster.up(gateways=2, workers=1)
    assert len(cluster.wait_ready()["gateways"]) == 2


def test_a_second_home_is_a_second_cluster(cluster: LocalCluster, tmp_path: Path) -> None:
    """A second home is a cluster of its own, in the foreground here; Ctrl-C stops it and not the first."""
    other = LocalCluster(tmp_path)
    with other.start("up", "--gateways", "1", "--workers", "1") as process:
        until(other.is_running, what="the second cluster")
        ready = other.wait_ready()
        assert ready["url"] != cluster.status()["url"]
        pids = other.pids()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert f"ready: {ready['url']}" in said
    assert said.splitlines()[-1] == "stopped; the data is kept"
    assert [name for name, pid in pids.items() if is_running(pid)] == []
    cluster.wait_ready()


def test_servers_that_are_set_are_used(cluster: LocalCluster, tmp_path: Path) -> None:
    """With REDIS_URL and DATABASE_URL set, no server is started, and those are used."""
    status = cluster.status()
    urls = {"REDIS_URL": status["redis_url"], "DATABASE_URL": status["database_url"]}
    other = LocalCluster(tmp_path, **urls)
    other.up(gateways=1, workers=1)
    try:
        found = other.status()
        assert [one["name"] for one in found["services"]] == ["balancer"]
        assert {"REDIS_URL": found["redis_url"], "DATABASE_URL": found["database_url"]} == urls
        assert not (tmp_path / "data" / "postgres").exists()
    finally:
        other.down()


def assert_start_fails(local: LocalCluster, reason: str) -> None:
    failed = local.seance("up", "--detach", expected=1)
    assert reason in failed.stdout
    local.seance("status", expected=3)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """When somebody else has the port, `up` fails at once, and says how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert_start_fails(LocalCluster(tmp_path, PORT=str(port)), f"port {port} is taken")


@pytest.mark.parametrize(
    "urls", [{"REDIS_URL": "redis://127.0.0.1:1/0"}, {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/seance"}]
)
def test_a_server_that_does_not_answer_is_named(tmp_path: Path, urls: dict[str, str]) -> None:
    """When a server that is set does not answer, `up` fails and names the variable."""
    (variable,) = urls
    assert_start_fails(LocalCluster(tmp_path, **urls), f"{variable} is set")
