"""Random histories of a room hold the promises of `docs/protocol.md` after every step. HISTORIES=10000 plays more."""

import os
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.unit.gateway.rooms.histories import DRAWN, History, Presence, info_of, play

pytestmark = pytest.mark.random_input

HISTORIES = int(os.environ.get("HISTORIES") or 500)
STEPS = 60


class RoomMachine(RuleBasedStateMachine):
    """One history; hypothesis chooses the actions and makes a history that fails short."""

    history: History | None = None

    @initialize(presence=st.sampled_from(("full", "summary")), spirit=st.booleans(), multiple=st.booleans())
    def begin(self, presence: Presence, *, spirit: bool, multiple: bool) -> None:
        """Choose the session's options."""
        self.history = History(info_of(presence, spirit=spirit, multiple_connections=multiple))

    @precondition(lambda self: self.history is not None)
    @rule(actions=st.lists(st.tuples(st.sampled_from(DRAWN), st.integers(0, 15)), min_size=1, max_size=3))
    def act(self, actions: list[tuple[str, int]]) -> None:
        """Carry out some actions, and check the promises after each."""
        assert self.history is not None
        for name, choice in actions:
            self.history.step(name, choice)

    def teardown(self) -> None:
        """Redis stays up, and everything is heard and answered."""
        if self.history is not None:
            self.history.settle()


def test_every_prefix_of_a_history_holds_the_promises() -> None:
    """Histories that hypothesis chooses hold every promise after each of their steps."""
    chosen = settings(
        max_examples=60,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(RoomMachine, settings=chosen)


def test_many_random_histories_hold_the_promises() -> None:
    """Histories from seeds hold every promise after each of their steps."""
    for seed in range(HISTORIES):
        play(Random(f"history {seed}"), STEPS)  # noqa: S311 - repeatable, no secret
