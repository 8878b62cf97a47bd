"""`seance check`, `dead` and `migrate` with real servers."""

import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import asyncpg
import msgspec
import pytest
from redis import Redis

from broker.keys import Keys
from cluster import migrate
from cluster.commands.foreign import ask_before_sharing
from cluster.state.home import Home
from cluster.supervisor.errors import StartError
from cluster.supervisor.launch_factory import LaunchFactory
from cluster.supervisor.plan import Plan
from cluster.supervisor.startup import check_bond
from gateway.configuration import load
from gateway.settings import Settings
from tests.gateways import running_gateways, running_workers
from tests.seance_command import Seance
from tests.services import Services, run_apart
from tests.terminal import Terminal
from tests.waiting import until

KEYS = Keys("seance", 16)
# Without a limit of their own, commands would wait 10 s and 30 s for a server that hangs.
FAR_BELOW_THE_DRIVERS_LIMIT = 8.0
NOWHERE = {"REDIS_URL": "redis://127.0.0.1:1/0", "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/seance"}


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


def test_check_passes_with_servers_in_order(seance: Seance) -> None:
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
    redis.set(KEYS.claim, 8)
    try:
        result = seance("check")
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("appendonly", "yes")
    assert result.exit_code == 1
    for remedy in ("set `maxmemory-policy noeviction`", "set `appendonly yes`", "set PARTITIONS=8"):
        assert f"mend: {remedy}" in result.output
    assert re.search(r"\b3 of \d+ checks failed", result.output)


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


def add_dead_entry(redis: Redis, partition: int, session_id: str) -> str:
    """Add a dead entry as a worker does; return its name."""
    entry_id = redis.xadd(
        KEYS.dead(partition),
        {"s": session_id, "e": "epoch", "d": '{"secret": "text"}', "reason": "bad value", "entry": "1-0"},
    )
    assert isinstance(entry_id, bytes)
    return f"{partition}:{entry_id.decode()}"


def test_dead_entries_are_listed_without_their_text(seance: Seance, redis: Redis) -> None:
    """Each dead entry has a line with its name, session and reason, and without its text."""
    assert seance("dead", "list").output == "no dead entries\n"
    names = [add_dead_entry(redis, 3, "one"), add_dead_entry(redis, 5, "two")]
    lines = seance("dead", "list").output.splitlines()
    assert lines == [f"{names[0]}  session one  bad value", f"{names[1]}  session two  bad value"]
    assert len(seance("dead", "list", "--limit", "1").output.splitlines()) == 1


def test_a_dead_entry_is_put_back_into_its_stream(seance: Seance, redis: Redis) -> None:
    """A named entry is in its stream again, unchanged, and no longer among the dead entries."""
    name, other = add_dead_entry(redis, 3, "one"), add_dead_entry(redis, 3, "two")
    assert seance("dead", "retry", name).output == "1 entry put back\n"
    ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(KEYS.events(3)))
    assert fields == {b"s": b"one", b"e": b"epoch", b"d": b'{"secret": "text"}'}
    assert other in seance("dead", "list").output
    assert seance("dead", "retry", "--all").output == "1 entry put back\n"


def test_dropped_entries_are_in_no_stream(seance: Seance, redis: Redis) -> None:
    """Dropped entries are neither among the dead entries nor in a stream."""
    add_dead_entry(redis, 3, "one")
    add_dead_entry(redis, 4, "two")
    assert seance("dead", "drop", "--all").output == "2 entries dropped\n"
    assert (redis.xlen(KEYS.dead(3)), redis.xlen(KEYS.dead(4)), redis.xlen(KEYS.events(3))) == (0, 0, 0)


def test_an_unknown_entry_makes_the_command_fail(seance: Seance, redis: Redis) -> None:
    """The known entries are dropped, and the unknown name makes the command fail."""
    name = add_dead_entry(redis, 3, "one")
    result = seance("dead", "drop", name, "9:1-1")
    assert result.exit_code == 1
    assert "1 entry dropped" in result.output
    assert "not found: 1 of those names" in result.output


@pytest.mark.parametrize("arguments", [("retry",), ("drop",), ("retry", "--all", "1:1-1")])
def test_dead_entries_must_be_named_or_all_be_meant(seance: Seance, arguments: tuple[str, ...]) -> None:
    """The command demands either names or --all."""
    assert seance("dead", *arguments).exit_code == 2


def test_dead_says_that_redis_does_not_answer(seance: Seance) -> None:
    """When Redis does not answer, the command fails and says so."""
    result = seance("dead", "list", **NOWHERE)
    assert result.exit_code == 1
    assert "Redis is not reachable" in result.output


def test_migrate_reaches_each_revision_that_is_named(seance: Seance, empty_database: str) -> None:
    """`migrate` goes to the newest revision, to none, and to a named one, and prints the revision each time."""
    head = migrate.head()
    down = ("--down", "base", "--yes")
    for arguments, expected in (((), head), (down, "base"), (("--to", str(head)), head), ((), head)):
        result = seance("migrate", *arguments, DATABASE_URL=empty_database)
        assert result.exit_code == 0, result.output
        assert f"the database is at revision {expected}" in result.output


async def store_session(url: str) -> None:
    """Store one session."""
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO sessions (id, name, created_at) VALUES (gen_random_uuid(), 'Tuesday', now())")
    await connection.close()


def test_a_downgrade_is_refused_without_an_answer(seance: Seance, services: Services) -> None:
    """Without a terminal nothing is removed, and the message says what would be, and where."""
    run_apart(store_session(services.database_url))
    result = seance("migrate", "--down", "base")
    assert result.exit_code == 1
    assert "removes all tables of Séance, in the database with 1 session at postgresql://postgres@" in result.stderr
    assert "(DATABASE_URL: environment). Nothing was changed" in result.stderr
    assert "add --yes" in result.stderr
    assert "the database is at revision" in seance("migrate").output


def test_a_downgrade_asks_on_a_terminal(seance: Seance) -> None:
    """The answer no keeps everything."""
    terminal = Terminal({**os.environ, **seance.environ}, "migrate", "--down", "base")
    until(lambda: terminal.shows("Go on? [y/N]"))
    terminal.type(b"n\n")
    until(lambda: terminal.shows("nothing was changed"))
    assert terminal.process.wait(30) == 1


async def make_foreign_table(url: str) -> None:
    """What another application has in its database."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE orders (id int)")
    await connection.close()


def test_up_asks_before_it_shares_a_database(seance: Seance, empty_database: str) -> None:
    """A wrong DATABASE_URL must not put tables into another application's database."""
    run_apart(make_foreign_table(empty_database))
    result = seance("up", DATABASE_URL=empty_database)
    assert result.exit_code == 1
    assert "schema public holds 1 table of another application (orders)" in result.stderr
    assert "add --share-database" in result.stderr
    assert migrate.holdings(empty_database).others == ("orders",)


@pytest.mark.parametrize("other", ["empty", "ours", "away", "shared"])
def test_up_asks_nothing_else(other: str, services: Services, empty_database: str) -> None:
    """An empty database, ours, and one that does not answer raise no question; nor does one that we share already."""
    url = {"empty": empty_database, "ours": services.database_url, "away": NOWHERE["DATABASE_URL"]}.get(
        other, empty_database
    )
    if other == "shared":
        run_apart(make_foreign_table(url))
        migrate.upgrade(url)
    ask_before_sharing(Settings(database_url=url))


@pytest.mark.parametrize(
    ("arguments", "environ", "reason"),
    [
        (("--to", "nonsense"), {}, "nonsense"),
        (("--down", "nonsense", "--yes"), {}, "nonsense"),
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


def other_installation(seance: Seance, database_url: str) -> None:
    """Migrate this database, which makes it another installation's."""
    assert seance("migrate", DATABASE_URL=database_url).exit_code == 0


def test_check_names_the_redis_of_another_installation(seance: Seance, redis: Redis, empty_database: str) -> None:
    """A database beside the Redis of another is named with what can be done; looking binds nothing."""
    other_installation(seance, empty_database)
    result = seance("check")
    assert "Redis belongs to none yet" in result.output
    assert redis.get(KEYS.installation) is None
    assert seance("adopt").exit_code == 0
    assert "installation: " in seance("check").output
    result = seance("check", DATABASE_URL=empty_database)
    assert result.exit_code == 1
    assert "BAD  installation: Redis (prefix seance) belongs to installation" in result.output
    assert "run `seance adopt`" in result.output


def test_adopt_binds_redis_to_another_database(seance: Seance, redis: Redis, empty_database: str) -> None:
    """The command says which installation both are now; afterwards `check` is content."""
    other_installation(seance, empty_database)
    assert seance("adopt").exit_code == 0
    before = redis.get(KEYS.installation)
    result = seance("adopt", DATABASE_URL=empty_database)
    assert result.exit_code == 0, result.output
    after = cast("bytes", redis.get(KEYS.installation))
    assert after != before
    assert f"belong to installation {after.decode()} now" in result.output
    assert seance("check", DATABASE_URL=empty_database).exit_code == 0


def test_commands_find_the_installation_in_a_schema_of_its_own(seance: Seance, empty_database: str) -> None:
    """With DATABASE_SCHEMA, `check` and `adopt` look where `migrate` made the tables."""
    place = {"DATABASE_URL": empty_database, "DATABASE_SCHEMA": "own"}
    assert seance("migrate", **place).exit_code == 0
    result = seance("adopt", **place)
    assert result.exit_code == 0, result.output
    result = seance("check", **place)
    assert result.exit_code == 0, result.output
    assert "of Redis and the database" in result.output


@pytest.mark.parametrize("schema", ["", "own"])
def test_up_refuses_the_redis_of_another_installation(
    schema: str, seance: Seance, services: Services, empty_database: str, tmp_path: Path
) -> None:
    """The start ends before a gateway runs, in whichever schema the tables are, and says what can be done."""
    assert seance("migrate", DATABASE_URL=empty_database, DATABASE_SCHEMA=schema).exit_code == 0
    settings, sources = load({"DATABASE_URL": empty_database, "DATABASE_SCHEMA": schema})
    plan = Plan.of(Home(tmp_path), settings, sources, {}, port=0)
    launches = LaunchFactory(plan, services.redis_url, empty_database)
    run_apart(check_bond(launches, settings))
    run_apart(check_bond(launches, settings))
    other = LaunchFactory(plan, services.redis_url, services.database_url)
    with pytest.raises(StartError, match=r"belongs to installation .*run `seance adopt`"):
        run_apart(check_bond(other, Settings()))


def test_a_postgres_that_hangs_holds_no_command_up_for_longer_than_is_set(seance: Seance) -> None:
    """`check` and `migrate` wait DB_TIMEOUT_SECONDS for a server that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = {"DATABASE_URL": f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/seance?sslmode=disable"}
        for command in ("check", "migrate"):
            began = time.monotonic()
            result = seance(command, **hanging, DB_TIMEOUT_SECONDS="1")
            assert result.exit_code == 1
            assert time.monotonic() - began < FAR_BELOW_THE_DRIVERS_LIMIT, command
            assert "no answer in time" in result.output


def test_adopt_refuses_while_somebody_works(seance: Seance, redis: Redis) -> None:
    """A worker or gateway whose lease is good keeps the Redis as it is, and is named."""
    redis.zadd(KEYS.workers, {"worker-1": 2**52})
    result = seance("adopt")
    assert result.exit_code == 1
    assert "worker-1 still use this Redis" in result.stderr
    assert redis.get(KEYS.installation) is None


@pytest.mark.parametrize("what", ["DATABASE_URL", "REDIS_URL"])
def test_adopt_says_which_server_does_not_answer(seance: Seance, what: str) -> None:
    """A server that can't be reached is exit code 1, in words."""
    result = seance("adopt", **{what: NOWHERE[what]})
    assert result.exit_code == 1
    assert "Traceback" not in result.output


def test_gateway_and_worker_refuse_the_redis_of_another_installation(
    seance: Seance, redis: Redis, services: Services, empty_database: str, tmp_path: Path
) -> None:
    """Both end with exit code 2 and say why; neither has written anything, so nobody has noticed them."""
    other_installation(seance, empty_database)
    assert seance("adopt").exit_code == 0
    before = redis.keys("*")
    other = Services(services.redis_url, empty_database)
    with running_gateways(other, tmp_path, wait=False) as [gateway], running_workers(other, tmp_path) as [worker]:
        assert (gateway.wait(), worker.wait()) == (2, 2)
        for process in (gateway, worker):
            said = process.log.read_text()
            assert "belongs to installation" in said
            assert "seance adopt" in said
            assert "Traceback" not in said
    assert redis.keys("*") == before
