"""The short form of `make chaos`, third part: gateways replaced under load."""

from collections.abc import Iterator

import pytest

from tests.chaos.runner import Runner
from tests.chaos.scenarios import replacements
from tests.chaos.short import assert_good, short_runner
from tests.chaos.stage import Scenario


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The system that these scenarios share."""
    with short_runner(tmp_path_factory) as runner:
        yield runner


@pytest.mark.parametrize("scenario", replacements.SCENARIOS, ids=lambda one: one.name)
def test_replaced_gateways_lose_no_acknowledged_message(runner: Runner, scenario: Scenario) -> None:
    """A user who is sent to another gateway is not seen to leave, and has every acknowledged message once, in order."""
    assert_good(runner, scenario)
