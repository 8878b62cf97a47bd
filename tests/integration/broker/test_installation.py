"""The checks of the Redis of an installation."""

import asyncio

import pytest

from broker.errors import BrokerError, BrokerUnavailableError, PartitionsMismatchError
from broker.keys import Keys
from broker.redis import installation
from broker.redis.link import Link
from tests.redis_server import RedisServer
from tests.session_state import kept

KEYS = Keys("seance", 16)
OTHER = Keys("seance", 8)


async def test_the_first_claim_decides_the_number_of_partitions(link: Link) -> None:
    """The number of partitions is noted with the first data; another number is refused and changes nothing."""
    await installation.claim(link, KEYS)
    await installation.claim(link, KEYS)
    with pytest.raises(PartitionsMismatchError, match="in 16 partitions, PARTITIONS is 8; set PARTITIONS=16"):
        await installation.claim(link, OTHER)
    assert await link.call("GET", KEYS.claim) == b"16"


async def test_of_two_claims_at_once_one_is_refused(link: Link) -> None:
    """Of gateways that start at the same time with different numbers one is refused."""
    claims = [installation.claim(link, keys) for keys in (KEYS, OTHER)]
    first, second = await asyncio.gather(*claims, return_exceptions=True)
    assert first is None
    assert isinstance(second, PartitionsMismatchError)


async def test_a_safe_redis_has_no_problems(link: Link) -> None:
    """A Redis that evicts nothing and keeps an append-only file has no problems."""
    assert await installation.problems(link) == []


@pytest.mark.parametrize(
    ("setting", "value", "what"),
    [("maxmemory-policy", "allkeys-lru", "may drop events"), ("appendonly", "no", "a restart loses events")],
)
async def test_each_wrong_setting_is_a_problem(server: RedisServer, setting: str, value: str, what: str) -> None:
    """Each wrong setting is named, with how to mend it."""
    link = Link(server.url)
    async with kept(link.keeper):
        await link.call("CONFIG", "SET", setting, value)
        (problem,) = await installation.problems(link)
    assert what in problem.what
    assert setting in problem.mend


async def test_two_wrong_settings_are_two_problems(server: RedisServer) -> None:
    """Both wrong settings are told at once."""
    link = Link(server.url)
    async with kept(link.keeper):
        await link.call("CONFIG", "SET", "maxmemory-policy", "volatile-ttl", "appendonly", "no")
        assert len(await installation.problems(link)) == 2


@pytest.mark.parametrize("right", ["-config", "-config|get"])
async def test_unreadable_settings_are_a_problem(server: RedisServer, right: str) -> None:
    """A provider may forbid CONFIG; that is told, and no error."""
    link = Link(server.url)
    async with kept(link.keeper):
        await link.call("ACL", "SETUSER", "default", right)
        (problem,) = await installation.problems(link)
    assert "CONFIG is not allowed" in problem.what


async def test_a_redis_that_is_away_is_an_error(redis_url: str) -> None:
    """That Redis can't be reached is an error, not a problem of its settings."""
    link = Link(redis_url)
    with pytest.raises(BrokerUnavailableError):
        await installation.problems(link)
    with pytest.raises(BrokerUnavailableError):
        await installation.claim(link, KEYS)


async def test_a_key_of_another_kind_is_not_overwritten(link: Link) -> None:
    """A value that is no number of partitions is not overwritten."""
    await link.call("RPUSH", KEYS.claim, "text")
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        await installation.claim(link, KEYS)
