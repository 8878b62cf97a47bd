"""What is said about Redis and Postgres, by what they say of themselves."""

import pytest

from cluster.checks import postgres, redis
from cluster.checks.finding import Finding
from gateway.settings import Settings

GIB = 1 << 30


@pytest.mark.parametrize(("stored", "is_good"), [(None, True), (16, True), (8, False)])
def test_partitions(stored: int | None, is_good: bool) -> None:
    """Data made with another number of partitions is a problem, and the remedy names that number."""
    finding = redis.partitions(stored, 16)
    assert is_good == finding.is_good
    assert is_good or finding.remedy == "set PARTITIONS=8"


@pytest.mark.parametrize(("revision", "is_good"), [("0002", True), ("0001", False), (None, False)])
def test_migrations(revision: str | None, is_good: bool) -> None:
    """A database that is not at the newest revision is a problem."""
    assert is_good == postgres.migrations(revision, "0002").is_good


@pytest.mark.parametrize(
    ("finding", "word"),
    [
        (redis.role("slave"), "primary"),
        (redis.eviction("allkeys-lru"), "noeviction"),
        (redis.append_only(is_on=False, last_write="ok"), "appendonly yes"),
        (redis.append_only(is_on=True, last_write="err"), "disk"),
        (redis.memory(GIB // 2, Settings()), "MAX_BACKLOG"),
        (redis.dead_letters(3), "seance dead list"),
        (postgres.role(is_standby=True), "primary"),
        (postgres.encoding("SQL_ASCII"), "UTF8"),
        (postgres.connections(97, Settings(gateways=4)), "to 19 together"),
    ],
    ids=str,
)
def test_each_problem_has_a_remedy(finding: Finding, word: str) -> None:
    """What is wrong comes with what to do, in words that can be acted on."""
    assert finding.remedy is not None
    assert word in finding.remedy


@pytest.mark.parametrize(
    "finding",
    [
        redis.role("master"),
        redis.eviction("noeviction"),
        redis.append_only(is_on=True, last_write="ok"),
        redis.memory(0, Settings()),
        redis.memory(GIB, Settings()),
        redis.dead_letters(0),
        postgres.role(is_standby=False),
        postgres.encoding("UTF8"),
        postgres.connections(97, Settings()),
    ],
    ids=str,
)
def test_what_is_well_has_none(finding: Finding) -> None:
    """With everything as it should be, nothing is asked of anybody."""
    assert finding.is_good
