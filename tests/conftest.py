"""Fixtures that every test may use: real servers, clean for each test."""

import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from coverage import Coverage
from redis import Redis

from tests.browser import chromium
from tests.gateways import Gateway, running_gateways, running_workers
from tests.services import Services, run_apart, running_services, truncate

# Their tests run nothing of the project in this process.
_OF_PROCESSES = frozenset({"system", "contract", "browser"})
# In the order in which they start: files that take minutes first, so that no long one is left alone at the end.
_FOLDERS = ("system", "contract", "browser", "clients", "integration", "unit")


def pytest_configure() -> None:
    """Take SIGINT: a shell lets background jobs ignore it, and the processes of the tests would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Otherwise httpx reads the certificates of all public authorities for each client, which is 30 ms of CPU. The tests
    # talk only to servers of their own, and this folder holds no authority.
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what lives until the end: thousands of tests, and every module."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the browser tests out where there is no browser, and start the folders with long tests first."""
    chromium.leave_out(config, items)
    items.sort(key=_place)


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


def _place(item: pytest.Item) -> int:
    folder = _folder(item)
    return _FOLDERS.index(folder) if folder in _FOLDERS else len(_FOLDERS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Measure coverage in this process only during tests that run code of the project here.

    Measuring makes a test up to three times as slow. Tests of processes talk to gateways, which are measured by
    themselves; and a line that only a random input reaches should not count.
    """
    coverage = Coverage.current() if _folder(item) in _OF_PROCESSES or _is_random(item) else None
    if coverage is not None:
        coverage.stop()
    try:
        return (yield)
    finally:
        if coverage is not None:
            coverage.start()


def _is_random(item: pytest.Item) -> bool:
    is_hypothesis = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return is_hypothesis or item.get_closest_marker("random_input") is not None


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
def redis_url(services: Services) -> Iterator[str]:
    """The URL of an empty Redis; it is emptied afterwards too, since a test may have bound it to another database.

    No connection of the fixture's own is open meanwhile: tests count the connections.
    """
    with Redis.from_url(services.redis_url) as client:
        client.flushall()
        client.script_flush()
    yield services.redis_url
    with Redis.from_url(services.redis_url) as client:
        client.flushall()


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
