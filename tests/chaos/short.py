"""The short form as tests: one fixed seed, and the command that repeats a run that failed."""

import contextlib
from collections.abc import Iterator
from typing import Final

import pytest

from tests.chaos.runner import Runner
from tests.chaos.stage import Scenario

SEED: Final = 1


@contextlib.contextmanager
def short_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Runs scenarios in their short form, on a system of this test module."""
    with Runner(tmp_path_factory.mktemp("chaos"), is_short=True) as runner:
        yield runner


def assert_good(runner: Runner, scenario: Scenario) -> None:
    """Run it; nothing may be wrong."""
    verdict = runner.run(scenario, SEED)
    again = f"again: make chaos QUICK=1 SCENARIO={scenario.name} SEED={SEED}"
    assert verdict.is_good, "\n".join((f"{verdict.wrongs}", *verdict.faults, *verdict.problems, again))
