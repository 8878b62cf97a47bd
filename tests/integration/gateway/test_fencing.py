"""The fencing of a gateway: hot sessions in a new Redis process are compared with Postgres before any gets a seq."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from broker.errors import BrokerUnavailableError, SessionClosedError, UserRemovedError
from broker.sessions.fence import Fence
from gateway.lifecycle.fencing import Fencing
from gateway.protocol import close_codes
from persistence.engine import create_engine
from persistence.rows import Record
from persistence.sessions import StoredSessions
from persistence.writer import Writer
from tests.gateway_core import INFO, KEYS, GatewayCore
from tests.redis_server import RedisServer, redial
from tests.session_state import ANA, BEN, eventually, kept
from tests.stream_fixtures import engine_on, left, message

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a database that has the session."""
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def unreachable() -> AsyncIterator[AsyncEngine]:
    """An engine whose Postgres is unreachable."""
    engine = create_engine(NOWHERE, pool_size=1, max_overflow=0, timeout_seconds=1)
    yield engine
    await engine.dispose()


class Checked(GatewayCore):
    """A gateway core with fencing."""

    def __init__(self, url: str, engine: AsyncEngine, **options: Any) -> None:
        super().__init__(url, is_apart=False)
        fence = Fence(self.link, self.scripts, keys=KEYS, name="gw-1")
        self.fencing = Fencing(self.link, self.scripts, fence, StoredSessions(engine), **options)
        self.link.on_up = (self.scripts.load, self.fencing.linked, self.subscriber.resubscribe)

    async def opens(self) -> None:
        """Wait until the scripts are open."""
        await eventually(lambda: self.fencing.is_open, what="an open gate")


@contextlib.asynccontextmanager
async def checked(url: str, engine: AsyncEngine, **options: Any) -> AsyncIterator[Checked]:
    """Run a gateway core with fencing, connected to Redis."""
    core = Checked(url, engine, **options)
    task = asyncio.create_task(core.fencing.run(), name="fencing")
    try:
        async with kept(core.link.keeper):
            yield core
    finally:
        task.cancel()
        await asyncio.wait([task])


async def store(engine: AsyncEngine, session_id: str = INFO.id) -> None:
    """Store the session in Postgres."""
    await StoredSessions(engine).create(name="Evening", id=session_id)


async def mark(engine: AsyncEngine, seq: int, epoch: str) -> None:
    """Write the session's mark in Postgres: every event up to `seq` was seen."""
    await store(engine)
    await Writer(engine).write([Record(INFO.id, message(INFO.id, seq), epoch)])


async def renew_process(core: GatewayCore) -> None:
    """Make the data of Redis look unchecked."""
    await core.link.call("SET", KEYS.fenced, "another")


async def test_an_empty_redis_is_open_at_once(redis_url: str, unreachable: AsyncEngine) -> None:
    """A Redis without data is open at once, and Postgres is not asked."""
    async with checked(redis_url, unreachable) as core:
        await core.opens()
        run_id = (await core.link.call("GET", KEYS.fenced)).partition(b":")[0]
        assert run_id in await core.link.call("INFO", "server")


async def test_a_redis_that_holds_everything_keeps_its_epoch(redis_url: str, engine: AsyncEngine) -> None:
    """A Redis process that holds all that Postgres has seen keeps its epoch, and no member is ended."""
    async with checked(redis_url, engine) as core:
        await core.opens()
        await core.sessions.open(INFO)
        ana = await core.join(ANA)
        await ana.sees(await core.say())
        before = await core.position()
        await mark(engine, before[1], before[0])
        await renew_process(core)
        with capture_logs() as lines:
            await redial(redis_url, core.link.keeper, "pubsub")
            await core.opens()
        assert await core.position() == before
        await ana.sees(await core.say())
        [line] = [line for line in lines if line["event"] == "fencing.compared"]
        assert (line["sessions"], line["fenced"], ana.ending) == (1, 0, None)
        assert await core.link.call("EXISTS", KEYS.fencing) == 0


@pytest.mark.parametrize("is_same_epoch", [True, False])
async def test_a_session_behind_its_mark_is_fenced(redis_url: str, engine: AsyncEngine, is_same_epoch: bool) -> None:
    """A session behind its mark gets a new epoch before any event gets a seq, whichever epoch the mark has."""
    async with checked(redis_url, engine) as core:
        await core.opens()
        await core.sessions.open(INFO)
        epoch, _ = await core.position()
        await mark(engine, 7, epoch if is_same_epoch else "later")
        await renew_process(core)
        async with engine.begin() as holder:
            await holder.exec_driver_sql("LOCK TABLE session_marks IN ACCESS EXCLUSIVE MODE")
            await redial(redis_url, core.link.keeper)
            with pytest.raises(BrokerUnavailableError, match="being checked"):
                await core.say("too early")
        await core.opens()
        assert (await core.position())[1] == 2_000_000
        assert await core.say() == 2_000_001


async def test_a_close_that_redis_lost_is_made_good(redis_url: str, engine: AsyncEngine) -> None:
    """A session that Postgres knows as closed is closed again in a new epoch: its members end, and nobody joins."""
    async with checked(redis_url, engine) as core:
        await core.opens()
        await store(engine)
        await core.sessions.open(INFO)
        ana = await core.join(ANA)
        await StoredSessions(engine).close(INFO.id)  # as REST does, before the worker has seen the event
        await renew_process(core)
        with capture_logs() as lines:
            await redial(redis_url, core.link.keeper, "pubsub")
            await core.opens()
        assert await ana.ends() == close_codes.RESYNC
        with pytest.raises(SessionClosedError):
            await core.seat(BEN)
        assert (await core.position())[1] == 2_000_001
        [line] = [line for line in lines if line["event"] == "fencing.compared"]
        assert (line["sessions"], line["fenced"], line["closed"]) == (1, 1, 1)


async def test_a_removal_that_redis_lost_is_made_good(redis_url: str, engine: AsyncEngine) -> None:
    """A user whom Postgres knows as removed loses the seat again, and is not admitted; the others stay."""
    async with checked(redis_url, engine) as core:
        await core.opens()
        await store(engine)
        await core.sessions.open(INFO)
        ana, ben = await core.join(ANA), await core.join(BEN)
        before = await core.position()
        gone = left(ANA, "Ana", reason="removed")  # without a seq, as in a session with `summary` presence
        await Writer(engine).write([Record(INFO.id, gone, before[0])])
        await renew_process(core)
        await redial(redis_url, core.link.keeper, "pubsub")
        await core.opens()
        assert await ana.ends() == close_codes.REMOVED
        with pytest.raises(UserRemovedError):
            await core.seat(ANA, connection="again")
        await ben.sees(before[1] + 1)
        assert (ben.types[-1], (await core.position())[0]) == ("user_left", before[0])


async def test_only_hot_sessions_are_compared_however_many_marks_there_are(redis_url: str, engine: AsyncEngine) -> None:
    """Marks of sessions that Redis does not hold cost nothing; every hot session is compared, page by page."""
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "WITH made AS (INSERT INTO sessions (id, name, created_at)"
            " SELECT gen_random_uuid(), 'Other', now() FROM generate_series(1, 1000) RETURNING id)"
            " INSERT INTO session_marks SELECT id, 'a', 5 FROM made"
        )
    hot = [str(uuid4()) for _ in range(7)]
    for session_id in hot:
        await store(engine, session_id)
        await Writer(engine).write([Record(session_id, message(session_id, 7), "a")])
    async with checked(redis_url, engine, page_sessions=3) as core:
        await core.opens()
        for session_id in hot:
            await core.sessions.open(msgspec.structs.replace(INFO, id=session_id))
            await core.link.call("SET", core.sessions.key(session_id) + ":key:k", "1 m")
        await core.sessions.open(INFO)  # a session that Postgres does not know is left alone
        await renew_process(core)
        with capture_logs() as lines:
            await redial(redis_url, core.link.keeper)
            await core.opens()
        [line] = [line for line in lines if line["event"] == "fencing.compared"]
        assert (line["sessions"], line["fenced"]) == (7, 7)
        assert await core.position() == ((await core.position())[0], 0)


async def test_a_slow_comparison_does_not_open_the_scripts(redis_url: str, engine: AsyncEngine) -> None:
    """While Postgres answers, however long all of it takes, no event gets a seq before its session was compared."""
    async with checked(redis_url, engine, patience_seconds=0.3, page_sessions=1) as core:
        await core.opens()
        await core.link.call("SET", KEYS.fencing, "gw-2", "PX", 900)  # another gateway compares, for longer
        await renew_process(core)
        with capture_logs() as lines:
            await redial(redis_url, core.link.keeper)
            await core.opens()
        assert [line["event"] for line in lines if line["event"].startswith("fencing.")] == ["fencing.compared"]


@pytest.mark.parametrize("is_left", [False, True])
async def test_data_that_were_left_and_found_again_are_compared(
    redis_url: str, engine: AsyncEngine, is_left: bool
) -> None:
    """Data that a gateway left for others, whose comparison is newer, are compared when the gateway comes back."""
    async with checked(redis_url, engine) as core:
        await core.opens()
        first = await core.link.call("GET", KEYS.fenced)
        if is_left:
            await core.link.call("SET", KEYS.fenced, "another:line 1")
            await redial(redis_url, core.link.keeper)
            await core.opens()
            await core.link.call("SET", KEYS.fenced, first)  # as that primary had noted it
        with capture_logs() as lines:
            await redial(redis_url, core.link.keeper)
            await core.opens()
        assert ("fencing.compared" in str(lines)) == is_left


async def test_a_primary_that_was_a_replica_meanwhile_is_compared(server: RedisServer, engine: AsyncEngine) -> None:
    """A process that was a replica, and is the primary again, is compared, though its data say that it was."""
    async with checked(server.url, engine) as core:
        await core.opens()
        await core.link.call("REPLICAOF", "127.0.0.1", 1)
        await core.link.call("REPLICAOF", "NO", "ONE")
        with capture_logs() as lines:
            await redial(server.url, core.link.keeper)
            await core.opens()
        assert "fencing.compared" in str(lines)


async def test_a_second_gateway_waits_for_the_first_comparison(redis_url: str, engine: AsyncEngine) -> None:
    """The second gateway waits until the first one has compared, and does not compare again."""
    async with checked(redis_url, engine) as core:
        await core.opens()
        checked_data = await core.link.call("GET", KEYS.fenced)
        await renew_process(core)
        await core.link.call("SET", KEYS.fencing, "gw-2")
        with capture_logs() as lines:
            await redial(redis_url, core.link.keeper)
            with pytest.raises(BrokerUnavailableError):
                await core.say()
            await core.link.call("SET", KEYS.fenced, checked_data)
            await core.opens()
        assert "fencing.compared" not in str(lines)


async def test_the_claim_of_a_dead_gateway_ends(redis_url: str, engine: AsyncEngine) -> None:
    """The claim of a gateway that died during the comparison ends, and another gateway compares."""
    async with checked(redis_url, engine) as core:
        await core.opens()
        await renew_process(core)
        await core.link.call("SET", KEYS.fencing, "gw-2", "PX", 200)
        await redial(redis_url, core.link.keeper)
        await core.opens()
        assert await core.link.call("GET", KEYS.fenced) != b"another"


async def test_sessions_do_not_wait_for_an_unreachable_postgres(redis_url: str, unreachable: AsyncEngine) -> None:
    """Live sessions wait for Postgres only for a limited time; the warning is logged, and the check goes on."""
    async with checked(redis_url, unreachable, patience_seconds=0.3) as core:
        await core.opens()
        await core.sessions.open(INFO)
        await renew_process(core)
        with capture_logs() as lines:
            await redial(redis_url, core.link.keeper)
            assert not core.fencing.is_open
            await core.opens()
            assert await core.say() == 1
        assert [line["event"] for line in lines if line["event"] == "fencing.unchecked"] == ["fencing.unchecked"]
        assert await core.link.call("GET", KEYS.fenced) == b"another"


async def test_a_redis_without_info_is_not_compared(server: RedisServer, engine: AsyncEngine) -> None:
    """A Redis that forbids INFO is not compared: a warning is logged, and no session waits."""
    async with checked(server.url, engine) as core:
        await core.opens()
        await core.link.call("ACL", "SETUSER", "default", "-info")
        with capture_logs() as lines:
            await redial(server.url, core.link.keeper)
            await core.opens()
        assert "fencing.impossible" in str(lines)


async def test_members_end_when_an_older_state_comes_back(server: RedisServer, engine: AsyncEngine) -> None:
    """Members are ended when Redis comes back with an older state, and the session goes on in a new epoch."""
    async with checked(server.url, engine) as core:
        await core.opens()
        await core.sessions.open(INFO)
        await mark(engine, 1, (await core.position())[0])
        ana = await core.join(ANA)
        earlier = await core.snapshot()
        await ana.sees(await core.say("lost"))
        await core.go_back(earlier)
        await renew_process(core)
        await redial(server.url, core.link.keeper, "pubsub")
        assert await ana.ends() == close_codes.RESYNC
        await core.opens()
        assert (await core.position())[1] == 2_000_000


async def test_a_restart_that_kept_everything_changes_nothing(server: RedisServer, engine: AsyncEngine) -> None:
    """A Redis that was killed and kept its data is a new process, is compared, and keeps its epochs."""
    async with checked(server.url, engine) as core:
        await core.opens()
        await core.sessions.open(INFO)
        ana = await core.join(ANA)
        await ana.sees(await core.say())
        before = await core.position()
        await mark(engine, before[1], before[0])
        first = await core.link.call("GET", KEYS.fenced)
        server.kill()
        await eventually(lambda: not core.link.is_up)
        await server.start()
        await asyncio.wait_for(core.link.keeper.wait_up(), 10)
        await core.opens()
        assert await core.link.call("GET", KEYS.fenced) != first
        assert await core.position() == before
        await ana.sees(await core.say())
        assert ana.ending is None
