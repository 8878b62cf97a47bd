"""The embedded servers: as whom they run, where their files are, and how they come back."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from cluster.embedded import postgres, services
from cluster.embedded.services import Service
from cluster.process.launch import Identity, Launch, start
from cluster.process.ports import free_port
from tests.services import run_apart


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own may only be entered by its own user."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def unreachable(tmp_path: Path) -> Iterator[Path]:
    """A folder that only its owner may enter; what was moved elsewhere for its sake is removed."""
    folder = tmp_path / "private" / "data"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    yield folder
    shutil.rmtree(postgres.relocated(folder), ignore_errors=True)


def answers(launch: Launch, password: str, port: int, folder: Path) -> bool:
    """Start the server, wait until it answers, stop it."""
    url = f"postgresql://{postgres.USER}:{password}@127.0.0.1:{port}/postgres"
    process = start(launch, folder / "log")
    try:
        service = Service(launch, url, lambda: services.probe_postgres(url))
        run_apart(services.wait_until_answering(service, lambda: process.poll() is None))
    finally:
        process.send_signal(launch.stop_signal)
        code = process.wait(10)
    return code == 0


def identities_here(*as_root: Identity) -> tuple[Identity, ...]:
    """What a server may run as: an ordinary user has no choice."""
    return as_root if os.geteuid() == 0 else ("self",)


@pytest.mark.parametrize("identity", identities_here("namespace", "nobody"))
def test_postgres_runs_for_root_under_another_identity(reachable: Path, identity: Identity) -> None:
    """Started by root, PostgreSQL runs under another identity, and finds the data of its first start again."""
    for _ in range(2):
        port = free_port()
        launch, password = postgres.launch(reachable, port, is_durable=False, identities=(identity,))
        assert launch.identity == identity
        assert launch.folder == reachable / "postgres"
        assert answers(launch, password, port, reachable)


def test_postgres_moves_to_where_its_user_may_enter(unreachable: Path) -> None:
    """Root without user namespaces keeps server and data where `nobody` may enter, and finds them again."""
    identities = identities_here("nobody")
    for _ in range(2):
        port = free_port()
        launch, password = postgres.launch(unreachable, port, is_durable=False, identities=identities)
        expected = postgres.relocated(unreachable) if os.geteuid() == 0 else unreachable
        assert launch.folder == expected / "postgres"
        assert answers(launch, password, port, unreachable)


def test_a_stale_lock_file_of_postgres_is_removed(tmp_path: Path) -> None:
    """A lock file with the number of a process that is no server, as after a reboot, is removed."""
    port = free_port()
    launch, _ = postgres.launch(tmp_path, port, is_durable=False)
    (launch.folder / "postmaster.pid").write_text(f"{os.getpid()}\n")
    again, password = postgres.launch(tmp_path, port, is_durable=False)
    assert not (launch.folder / "postmaster.pid").exists()
    assert answers(again, password, port, tmp_path)


def test_an_interrupted_initdb_is_repeated(tmp_path: Path) -> None:
    """The files of an interrupted first start do not prevent the next start."""
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    port = free_port()
    launch, password = postgres.launch(tmp_path, port, is_durable=False)
    assert answers(launch, password, port, tmp_path)


def test_a_server_that_ends_during_the_start_is_named(tmp_path: Path) -> None:
    """When the process ends before it answers, the error names the server."""
    service = services.prepare_redis(tmp_path, port=1)
    with pytest.raises(services.ServiceError, match="redis ended while it was starting"):
        run_apart(services.wait_until_answering(service, lambda: False))


def test_a_server_that_does_not_answer_in_time_is_named(tmp_path: Path) -> None:
    """When the server does not answer in time, the error names the server and the time."""
    service = services.prepare_redis(tmp_path, port=1)
    with pytest.raises(services.ServiceError, match=r"redis did not answer within 0\.1 s"):
        run_apart(services.wait_until_answering(service, lambda: True, timeout_seconds=0.1))


def test_the_embedded_redis_evicts_nothing_and_appends_everything(redis_url: str) -> None:
    """The embedded Redis evicts nothing, appends every write, has bounded memory, and refuses a wrong password."""
    with Redis.from_url(redis_url) as client:
        assert client.info("memory")["maxmemory"] == services.memory_bytes() // 2
        assert client.info("memory")["maxmemory_policy"] == "noeviction"
        assert client.info("persistence")["aof_enabled"] == 1
    stranger = redis_url.replace(redis_url.split("@", maxsplit=1)[0], "redis://:wrong")
    assert "invalid username-password" in str(run_apart(services.problem_with(lambda: services.probe_redis(stranger))))
