"""The short form of `make chaos`, fourth part: Redis and Postgres killed, stopped, away, full, or with older data."""

from collections.abc import Iterator

import pytest

from tests.chaos.runner import Runner
from tests.chaos.scenarios import kills, rollback, storage
from tests.chaos.short import assert_good, short_runner
from tests.chaos.stage import Scenario

_ALL = [*kills.OF_SERVERS, *storage.SCENARIOS, *rollback.SCENARIOS]
SCENARIOS = [one for one in _ALL if not one.is_long_only]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The system that these scenarios share."""
    with short_runner(tmp_path_factory) as runner:
        yield runner


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_failing_servers_lose_no_acknowledged_message(runner: Runner, scenario: Scenario) -> None:
    """Whatever server fails, every acknowledged message is stored and delivered once, in order."""
    assert_good(runner, scenario)
