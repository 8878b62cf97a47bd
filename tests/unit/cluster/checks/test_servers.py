"""What is said about Redis and Postgres, by what they say of themselves."""

import pytest

from cluster.checks import postgres, redis
from cluster.checks.finding import Finding
from gateway.settings import Settings

GIB = 1 << 30


@pytest.mark.parametrize(("stored", "is_good"), [(None, True), (16, True), (8, False)])
def test_data_with_other_partitions_is_a_problem(stored: int | None, is_good: bool) -> None:
    """Data made with another number of partitions is a problem, and the remedy names that number."""
    finding = redis.partitions(stored, 16)
    assert is_good == finding.is_good
    assert is_good or finding.remedy == "set PARTITIONS=8"


@pytest.mark.parametrize(("revision", "is_good"), [("0002", True), ("0001", False), (None, False)])
def test_a_database_that_is_not_at_the_newest_revision_is_a_problem(revision: str | None, is_good: bool) -> None:
    """Only the newest revision of the database is good."""
    assert is_good == postgres.migrations(revision, "0002").is_good


@pytest.mark.parametrize(
    ("finding", "word"),
    [
        (redis.role("slave"), "primary"),
        (redis.eviction("allkeys-lru"), "noeviction"),
        (redis.append_only(is_on=False, last_write="ok"), "appendonly yes"),
        (redis.append_only(is_on=True, last_write="err"), "disk"),
        (redis.memory(0, Settings()), "set `maxmemory`"),
        (redis.memory(GIB // 2, Settings()), "MAX_BACKLOG"),
        (redis.dead_letters(3), "seance dead list"),
        (postgres.role(is_standby=True), "primary"),
        (postgres.encoding("SQL_ASCII"), "UTF8"),
        (postgres.idle_transactions(are_ended=False), "ALTER ROLE"),
        (postgres.connections(97, Settings(gateways=4)), "to 19 together"),
    ],
    ids=str,
)
def test_each_problem_with_a_server_has_a_remedy(finding: Finding, word: str) -> None:
    """Each problem comes with a remedy that names the setting or the command."""
    assert finding.remedy is not None
    assert word in finding.remedy


@pytest.mark.parametrize(
    "finding",
    [
        redis.role("master"),
        redis.eviction("noeviction"),
        redis.append_only(is_on=True, last_write="ok"),
        redis.memory(GIB, Settings()),
        redis.dead_letters(0),
        postgres.role(is_standby=False),
        postgres.encoding("UTF8"),
        postgres.idle_transactions(are_ended=True),
        postgres.connections(97, Settings()),
    ],
    ids=str,
)
def test_a_server_in_order_has_no_remedy(finding: Finding) -> None:
    """A server that is as it should be needs no remedy."""
    assert finding.is_good
