"""The short form of `make chaos`, first part: gateways and workers killed or stopped, alone and in a storm."""

from collections.abc import Iterator

import pytest

from tests.chaos.runner import Runner
from tests.chaos.scenarios import kills, storm
from tests.chaos.short import assert_good, short_runner
from tests.chaos.stage import Scenario


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The system that these scenarios share."""
    with short_runner(tmp_path_factory) as runner:
        yield runner


@pytest.mark.parametrize("scenario", [*kills.OF_PROCESSES, *storm.SCENARIOS], ids=lambda one: one.name)
def test_killed_and_stopped_processes_lose_no_acknowledged_message(runner: Runner, scenario: Scenario) -> None:
    """Whatever process dies or stands still, every acknowledged message is stored and delivered once, in order."""
    assert_good(runner, scenario)
