"""The short form of `make chaos`, second part: connections that break or go dead, bad networks, clocks that step."""

from collections.abc import Iterator

import pytest

from tests.chaos.runner import Runner
from tests.chaos.scenarios import jitter, leases, links
from tests.chaos.short import assert_good, short_runner
from tests.chaos.stage import Scenario


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The system that these scenarios share."""
    with short_runner(tmp_path_factory) as runner:
        yield runner


@pytest.mark.parametrize("scenario", [*links.SCENARIOS, *leases.SCENARIOS, *jitter.SCENARIOS], ids=lambda one: one.name)
def test_broken_connections_lose_no_acknowledged_message(runner: Runner, scenario: Scenario) -> None:
    """Whatever connection breaks or stalls, every acknowledged message is stored and delivered once, in order."""
    assert_good(runner, scenario)
