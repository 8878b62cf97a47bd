"""The dependency probe: what it reports of Redis and Postgres."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from broker.errors import BrokerUnavailableError
from broker.keys import Keys
from broker.redis.link import Link
from gateway.telemetry.dependency_probe import DependencyProbe
from persistence.errors import DatabaseUnavailableError


async def answers() -> None:
    """A server that answers."""


async def fails() -> None:
    """A server that is down."""
    raise DatabaseUnavailableError("Postgres is away")


async def hangs() -> None:
    """A server that never answers."""
    await asyncio.Event().wait()


@pytest.mark.parametrize(("ping", "is_up", "count"), [(answers, True, 1), (fails, False, 0), (hangs, False, 0)])
async def test_postgres_is_up_when_it_answers_in_time(
    ping: Callable[[], Awaitable[None]], is_up: bool, count: int
) -> None:
    """Postgres is up when it answers in time; only answers count as round trips."""
    link = Link("redis://127.0.0.1:1/0")
    found = DependencyProbe(link, ping_redis=answers, ping_database=ping, keys=Keys("seance", 2), look_seconds=0.05)
    await found.look()
    assert (found.is_postgres_up, found.postgres_seconds.count) == (is_up, count)


async def test_redis_without_a_backlog_answer_is_down() -> None:
    """A Redis that answers a ping but not the backlog is down; the last backlog is still reported."""

    async def away() -> None:
        raise BrokerUnavailableError("Redis is away")

    found = DependencyProbe(
        Link("redis://127.0.0.1:1/0"), ping_redis=away, ping_database=answers, keys=Keys("seance", 2)
    )
    await found.look()
    assert not found.is_redis_up
    assert found.backlog.entries == 0
    found = DependencyProbe(
        Link("redis://127.0.0.1:1/0"), ping_redis=answers, ping_database=answers, keys=Keys("seance", 2)
    )
    await found.look()
    assert (found.is_redis_up, found.redis_seconds.count) == (False, 1)
