"""The bond between Redis and Postgres: one installation's Redis is used with one installation's database."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.errors import InstallationMismatchError
from broker.keys import Keys
from broker.redis.installation import living
from broker.redis.link import Link
from persistence.errors import PersistenceError
from persistence.installation import Bond, read
from persistence.tables import Table
from tests.session_state import now_ms
from tests.stream_fixtures import engine_on

KEYS = Keys("seance", 4)


@pytest.fixture
async def other(engine: AsyncEngine, database_url: str) -> AsyncIterator[AsyncEngine]:
    """Another database on the same server, restored from a dump of the first: it names the same installation."""
    own = await read(engine)
    await Bond(Link("redis://127.0.0.1:1/0"), KEYS, engine)._own(own)
    name = f"copy_{uuid.uuid4().hex}"
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    async with engine_on(database_url.rpartition("/")[0] + f"/{name}") as copy:
        async with copy.begin() as connection:
            await connection.run_sync(Table.metadata.create_all, tables=[Table.metadata.tables["installation"]])
            row = {"id": uuid.UUID(own.id), "database": (await read(engine)).given_to}
            await connection.execute(text("INSERT INTO installation VALUES (true, :id, :database)"), row)
        yield copy


async def with_new_id(engine: AsyncEngine) -> None:
    """Make it the database of another installation, as `seance migrate` makes one."""
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE installation SET id = gen_random_uuid(), database = NULL"))


async def test_a_redis_without_an_owner_is_bound(redis: Redis, stream_link: Link, engine: AsyncEngine) -> None:
    """The first that comes binds an empty Redis; later ones find it bound, and nothing changes."""
    for _ in range(2):
        await Bond(stream_link, KEYS, engine).check()
        assert await redis.get("seance:installation") == (await read(engine)).id.encode()
    assert (await read(engine)).given_to == (await read(engine)).database is not None


async def test_a_wiped_redis_is_bound_again(redis: Redis, stream_link: Link, engine: AsyncEngine) -> None:
    """Losing Redis is a normal event, so nothing has to be said to bind the empty Redis."""
    await Bond(stream_link, KEYS, engine).check()
    await redis.flushdb()
    await Bond(stream_link, KEYS, engine).check()
    assert await redis.get("seance:installation") == (await read(engine)).id.encode()


async def test_the_redis_of_another_installation_is_refused(
    redis: Redis, stream_link: Link, engine: AsyncEngine, other: AsyncEngine
) -> None:
    """The refusal names both ids and the remedies, and the Redis stays with its owner; a prefix of its own helps."""
    await with_new_id(other)
    await Bond(stream_link, KEYS, engine).check()
    bound = await redis.get("seance:installation")
    with pytest.raises(InstallationMismatchError) as caught:
        await Bond(stream_link, KEYS, other).check()
    said = str(caught.value)
    for part in ((await read(engine)).id, (await read(other)).id, "seance adopt", "REDIS_PREFIX"):
        assert part in said
    assert await redis.get("seance:installation") == bound
    await Bond(stream_link, Keys("staging", 4), other).check()


async def test_a_copy_of_the_database_may_not_use_the_redis_of_the_original(
    stream_link: Link, engine: AsyncEngine, other: AsyncEngine
) -> None:
    """A dump holds the installation's id too; the restored database is still known for a copy."""
    await Bond(stream_link, KEYS, engine).check()
    with pytest.raises(InstallationMismatchError, match="the database was copied from that of installation"):
        await Bond(stream_link, KEYS, other).check()
    await Bond(stream_link, KEYS, engine).check()


async def test_a_copy_with_an_empty_redis_becomes_an_installation_of_its_own(
    redis: Redis, stream_link: Link, engine: AsyncEngine, other: AsyncEngine
) -> None:
    """A copy that nobody can mix up with the original needs no command; from then on it has another id."""
    await Bond(stream_link, KEYS, other).check()
    own = await read(other)
    assert own.id != (await read(engine)).id
    assert not own.is_copy
    assert await redis.get("seance:installation") == own.id.encode()
    with pytest.raises(InstallationMismatchError, match="belongs to installation"):
        await Bond(stream_link, KEYS, engine).check()


async def test_adopting_binds_anew_on_purpose(
    redis: Redis, stream_link: Link, engine: AsyncEngine, other: AsyncEngine
) -> None:
    """After `adopt` the Redis belongs to the new database, the old one is refused, and sessions are compared again."""
    await Bond(stream_link, KEYS, engine).check()
    await redis.set(KEYS.fenced, "a run id")
    adopted = await Bond(stream_link, KEYS, other).adopt()
    await Bond(stream_link, KEYS, other).check()
    assert adopted == (await read(other)).id != (await read(engine)).id
    assert await redis.exists(KEYS.fenced) == 0
    with pytest.raises(InstallationMismatchError):
        await Bond(stream_link, KEYS, engine).check()


async def test_a_role_that_may_not_ask_for_the_server_is_bound_by_id(
    stream_link: Link, database_url: str, engine: AsyncEngine
) -> None:
    """Where Postgres does not tell which server answers, the ids alone are compared."""
    role = f"small_{uuid.uuid4().hex}"
    async with engine.begin() as connection:
        await connection.execute(text("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"))
        await connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'"))
        await connection.execute(text(f"GRANT SELECT, UPDATE ON installation TO {role}"))
    try:
        async with engine_on(f"postgresql://{role}:pw@{database_url.rpartition('@')[2]}") as small:
            assert (await read(small)).database is None
            await Bond(stream_link, KEYS, small).check()
    finally:
        async with engine.begin() as connection:
            await connection.execute(text("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC"))
            await connection.execute(text(f"DROP OWNED BY {role}"))
            await connection.execute(text(f"DROP ROLE {role}"))


async def test_a_database_without_an_id_says_what_to_run(stream_link: Link, other: AsyncEngine) -> None:
    """Someone emptied every table: the message names the command that makes an id, and the command does."""
    async with other.begin() as connection:
        await connection.execute(text("DELETE FROM installation"))
    with pytest.raises(PersistenceError, match="run `seance adopt`"):
        await Bond(stream_link, KEYS, other).check()
    await Bond(stream_link, KEYS, other).adopt()
    await Bond(stream_link, KEYS, other).check()


async def test_gateways_and_workers_that_use_a_redis_are_found(redis: Redis, stream_link: Link) -> None:
    """`adopt` refuses while someone works under these names; who died is not counted."""
    alive: Any = {"a": now_ms() + 60_000, "dead": now_ms() - 60_000}
    await redis.zadd(KEYS.gateways(3), alive)
    await redis.zadd(KEYS.workers, {"worker": now_ms() + 60_000})
    assert await living(stream_link, KEYS) == ["a", "worker"]
    assert await living(stream_link, Keys("staging", 4)) == []
