"""`seance check`, `dead` and `migrate` with real servers."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import asyncpg
import msgspec
import pytest
from click.testing import CliRunner, Result
from redis import Redis

from broker import keys
from cluster import migrate
from cluster.cli import main
from cluster.process.ports import free_port
from gateway.settings import Settings
from tests.services import Services, run_apart

NOWHERE = {"REDIS_URL": "redis://127.0.0.1:1/0", "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/seance"}


class Seance:
    """The command, with the servers of this test in its environment."""

    def __init__(self, home: Path, redis_url: str, database_url: str) -> None:
        self._environ = {
            "SEANCE_HOME": str(home),
            "REDIS_URL": redis_url,
            "DATABASE_URL": database_url,
            "PORT": str(free_port()),
        }

    def __call__(self, *arguments: str, **environ: str) -> Result:
        """Run it in a thread of its own: it makes an event loop."""
        with ThreadPoolExecutor(1) as thread:
            run = thread.submit(CliRunner().invoke, main, list(arguments), env={**self._environ, **environ})
            return run.result()


@pytest.fixture
def seance(tmp_path: Path, redis_url: str, database_url: str) -> Seance:
    return Seance(tmp_path, redis_url, database_url)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def empty_database(services: Services) -> str:
    """The URL of a new database that nothing was migrated in."""
    name = f"empty_{uuid.uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(services.database_url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    run_apart(create())
    return services.database_url.rpartition("/")[0] + f"/{name}"


def test_check_finds_nothing_to_mend(seance: Seance) -> None:
    """With servers as they should be, every check passes, and no password is shown."""
    result = seance("check")
    assert result.exit_code == 0, result.output
    assert "BAD" not in result.output
    assert "***@127.0.0.1" in result.output
    for field in msgspec.structs.fields(Settings):
        assert f"\n{field.name.upper()} " in f"\n{result.output}"


def test_check_names_what_is_wrong_with_redis(seance: Seance, redis: Redis) -> None:
    """A Redis that evicts, appends nothing, or holds other partitions is named, each with its remedy."""
    redis.config_set("maxmemory-policy", "allkeys-lru")
    redis.config_set("appendonly", "no")
    redis.set(keys.PARTITIONS, 8)
    try:
        result = seance("check")
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("appendonly", "yes")
    assert result.exit_code == 1
    for remedy in ("set `maxmemory-policy noeviction`", "set `appendonly yes`", "set PARTITIONS=8"):
        assert f"mend: {remedy}" in result.output
    assert "3 of 20 checks failed" in result.output


def test_check_names_missing_migrations(seance: Seance, empty_database: str) -> None:
    """A database that was never migrated is named with its remedy."""
    result = seance("check", DATABASE_URL=empty_database)
    assert result.exit_code == 1
    assert "mend: run `seance migrate`" in result.output


def test_check_names_servers_that_do_not_answer(seance: Seance) -> None:
    """Servers that can't be reached are named with the variable to correct."""
    result = seance("check", **NOWHERE)
    assert result.exit_code == 1
    assert "correct REDIS_URL" in result.output
    assert "correct DATABASE_URL" in result.output


def bury(redis: Redis, partition: int, session_id: str) -> str:
    """A dead entry as a worker leaves it; its name."""
    entry_id = redis.xadd(
        keys.dead(partition),
        {"s": session_id, "e": "epoch", "d": '{"secret": "text"}', "reason": "bad value", "entry": "1-0"},
    )
    assert isinstance(entry_id, bytes)
    return f"{partition}:{entry_id.decode()}"


def test_dead_entries_are_listed(seance: Seance, redis: Redis) -> None:
    """Each has a line with its name, session and reason, never the text."""
    assert seance("dead", "list").output == "no dead entries\n"
    names = [bury(redis, 3, "one"), bury(redis, 5, "two")]
    lines = seance("dead", "list").output.splitlines()
    assert lines == [f"{names[0]}  session one  bad value", f"{names[1]}  session two  bad value"]
    assert len(seance("dead", "list", "--limit", "1").output.splitlines()) == 1


def test_dead_entries_are_put_back(seance: Seance, redis: Redis) -> None:
    """A named entry is in its stream again, as it was, and no longer among the dead."""
    name, other = bury(redis, 3, "one"), bury(redis, 3, "two")
    assert seance("dead", "retry", name).output == "1 entry put back\n"
    ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(keys.events(3)))
    assert fields == {b"s": b"one", b"e": b"epoch", b"d": b'{"secret": "text"}'}
    assert other in seance("dead", "list").output
    assert seance("dead", "retry", "--all").output == "1 entry put back\n"


def test_dead_entries_are_dropped(seance: Seance, redis: Redis) -> None:
    """Dropped entries are gone for good."""
    bury(redis, 3, "one")
    bury(redis, 4, "two")
    assert seance("dead", "drop", "--all").output == "2 entries dropped\n"
    assert (redis.xlen(keys.dead(3)), redis.xlen(keys.dead(4)), redis.xlen(keys.events(3))) == (0, 0, 0)


def test_a_name_that_is_not_there(seance: Seance, redis: Redis) -> None:
    """What can be done is done, and the missing name makes the command fail."""
    name = bury(redis, 3, "one")
    result = seance("dead", "drop", name, "9:1-1")
    assert result.exit_code == 1
    assert "1 entry dropped" in result.output
    assert "not found: 1 of those names" in result.output


@pytest.mark.parametrize("arguments", [("retry",), ("drop",), ("retry", "--all", "1:1-1")])
def test_dead_entries_have_to_be_chosen(seance: Seance, arguments: tuple[str, ...]) -> None:
    """Neither everything nor nothing is meant by accident."""
    assert seance("dead", *arguments).exit_code == 2


def test_dead_without_redis(seance: Seance) -> None:
    """When Redis does not answer, the command fails and says so."""
    result = seance("dead", "list", **NOWHERE)
    assert result.exit_code == 1
    assert "Redis is not reachable" in result.output


def test_migrate_goes_up_and_down(seance: Seance, empty_database: str) -> None:
    """Up to the newest, down to nothing, up to a named revision; each says where the database is then."""
    head = migrate.head()
    for arguments, expected in (((), head), (("--down", "base"), "base"), (("--to", str(head)), head), ((), head)):
        result = seance("migrate", *arguments, DATABASE_URL=empty_database)
        assert result.exit_code == 0, result.output
        assert f"the database is at revision {expected}" in result.output


@pytest.mark.parametrize(
    ("arguments", "environ", "reason"),
    [
        (("--to", "nonsense"), {}, "nonsense"),
        (("--down", "nonsense"), {}, "nonsense"),
        ((), NOWHERE, "Postgres: "),
    ],
)
def test_migrate_says_what_went_wrong(
    seance: Seance, arguments: tuple[str, ...], environ: dict[str, str], reason: str
) -> None:
    """An unknown revision or a database that does not answer is exit code 1, in words."""
    result = seance("migrate", *arguments, **environ)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert "Traceback" not in result.output
