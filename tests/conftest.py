"""Fixtures that every test may use: real servers, clean for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.browser import chromium
from tests.gateways import Gateway, running_gateways, running_workers
from tests.services import Services, run_apart, running_services, truncate

# In the order in which they start: files that take minutes first, so that no long one is left alone at the end.
_FOLDERS = ("system", "contract", "browser", "clients", "integration", "unit")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the browser tests out where there is no browser, and start the folders with long tests first."""
    chromium.leave_out(config, items)
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return _FOLDERS.index(folder) if folder in _FOLDERS else len(_FOLDERS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say so: nobody should take them for passed."""
    if chromium.path() is None and chromium.is_asked_for(config):
        terminalreporter.write_line(chromium.WITHOUT, yellow=True)


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


@pytest.fixture(scope="session")
def gateways(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    """Three gateways and a worker that every test of this process shares; none may be stopped."""
    folder = tmp_path_factory.mktemp("gateways")
    with (
        running_gateways(services, folder, 3, is_measured=True) as gateways,
        running_workers(services, folder, is_measured=True),
    ):
        yield gateways


@pytest.fixture
def gateway_url(gateways: list[Gateway]) -> str:
    """Where the first of the shared gateways answers."""
    return gateways[0].url
