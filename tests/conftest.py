"""Fixtures that every test may use: real servers, clean for each test."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.services import Services, run_apart, running_services, truncate


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Redis and a migrated PostgreSQL, started once for this test process."""
    with running_services(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture
def redis_url(services: Services) -> str:
    """The URL of an empty Redis."""
    with Redis.from_url(services.redis_url) as client:
        client.flushall()
        client.script_flush()
    return services.redis_url


@pytest.fixture
def database_url(services: Services) -> str:
    """The URL of a migrated database whose tables are empty."""
    run_apart(truncate(services.database_url))
    return services.database_url
