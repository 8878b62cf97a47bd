"""The gateway's check that Redis belongs to its installation: at the start, after each reconnect, without Postgres."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from broker.errors import InstallationMismatchError
from broker.keys import Keys
from broker.redis.link import Link
from gateway.lifecycle.installation import InstallationCheck
from persistence.engine import create_engine
from persistence.installation import Bond, read
from tests.session_state import eventually

KEYS = Keys("seance", 4)


@contextlib.asynccontextmanager
async def running(link: Link, engine: AsyncEngine) -> AsyncIterator[tuple[InstallationCheck, "asyncio.Task[None]"]]:
    """The check on a link that has just come up."""
    check = InstallationCheck(link, KEYS, Bond(link, KEYS, engine), retry_seconds=0.05)
    check.linked()
    task = asyncio.create_task(check.run(), name="check")
    try:
        yield check, task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_redis_that_changes_its_owner_ends_the_gateway(
    redis: Redis, stream_link: Link, engine: AsyncEngine
) -> None:
    """After a reconnect another Redis may answer, or one that somebody else took when it was empty."""
    async with running(stream_link, engine) as (check, task):
        await check.passed.wait()
        assert await redis.get(KEYS.installation) == (await read(engine)).id.encode()
        await redis.set(KEYS.installation, "another")
        check.linked()
        with pytest.raises(InstallationMismatchError, match="belongs to installation another"):
            await asyncio.wait_for(task, 10)


async def test_a_wiped_redis_is_bound_again_at_the_reconnect(
    redis: Redis, stream_link: Link, engine: AsyncEngine
) -> None:
    """A Redis that lost everything must not be free for others once the gateway has reconnected."""
    async with running(stream_link, engine) as (check, _):
        await check.passed.wait()
        await redis.flushdb()
        check.linked()

        async def is_bound() -> bool:
            return bool(await redis.exists(KEYS.installation))

        await eventually(is_bound, what="a bound Redis")


async def test_without_postgres_the_gateway_goes_on_with_a_warning(redis: Redis, stream_link: Link) -> None:
    """Sessions that Redis holds are served while Postgres is away; one warning says that the ids are not compared."""
    nowhere = create_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1, max_overflow=0, timeout_seconds=1)
    with capture_logs() as lines:
        async with running(stream_link, nowhere) as (check, task):
            await asyncio.wait_for(check.passed.wait(), 10)
            assert not task.done()
    assert [line["mend"] for line in lines if line["event"] == "installation.unchecked"] == ["start Postgres"]
    assert await redis.exists(KEYS.installation) == 0
