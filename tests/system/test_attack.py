"""The short form of `make attack`: what one socket did to everybody before there were limits."""

from collections.abc import Iterator

import pytest

from tests.attack.attacks import ATTACKS, SHORT
from tests.attack.runner import SHORT_FORM, Runner
from tests.services import Services


@pytest.fixture(scope="module")
def runner(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Two gateways with the default limits, which the attacks share."""
    with Runner(tmp_path_factory.mktemp("attack"), SHORT_FORM, services) as runner:
        yield runner


@pytest.mark.parametrize("name", SHORT)
def test_two_users_go_on_talking_during_an_attack(runner: Runner, name: str) -> None:
    """No error, no close, no lost lease; bounded latency and memory."""
    result = runner.run(ATTACKS[name], 1)
    assert result.misses(SHORT_FORM.bar) == [], f"{result}\nagain: make attack QUICK=1 ATTACK={name}"
