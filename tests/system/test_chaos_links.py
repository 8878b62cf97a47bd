"""The short form of `make chaos`, second part: bad connections, and servers that are away, full or empty."""

from collections.abc import Iterator

import pytest

from tests.chaos.runner import Runner
from tests.chaos.scenarios import jitter, leases, links, rollback, storage
from tests.chaos.short import assert_good, short_runner
from tests.chaos.stage import Scenario

_ALL = [*links.SCENARIOS, *leases.SCENARIOS, *storage.SCENARIOS, *rollback.SCENARIOS, *jitter.SCENARIOS]
SCENARIOS = [one for one in _ALL if not one.is_long_only]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The system that these scenarios share."""
    with short_runner(tmp_path_factory) as runner:
        yield runner


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_broken_connections_and_servers_lose_no_acknowledged_message(runner: Runner, scenario: Scenario) -> None:
    """Whatever connection breaks or server fails, every acknowledged message is stored and delivered once, in order."""
    assert_good(runner, scenario)
