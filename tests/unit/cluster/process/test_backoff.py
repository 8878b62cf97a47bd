"""Waits between restarts."""

from cluster.process.backoff import RestartBackoff


def test_the_wait_doubles_with_jitter_up_to_the_longest() -> None:
    """Each quick end doubles the step; the wait lies in the upper half of the step, and never exceeds the longest."""
    backoff = RestartBackoff(first_seconds=1.0, longest_seconds=5.0, stable_seconds=20.0)
    for step in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert step / 2 <= backoff.next_seconds(0.1) <= step


def test_a_stable_run_resets_the_wait() -> None:
    """After a run that lasted, the wait is in the first step again."""
    backoff = RestartBackoff(first_seconds=1.0, longest_seconds=100.0, stable_seconds=20.0)
    for _ in range(5):
        backoff.next_seconds(0.1)
    assert backoff.next_seconds(20.0) <= 1.0


def test_the_wait_never_overflows() -> None:
    """After any number of quick ends, the wait is within its bounds."""
    backoff = RestartBackoff(longest_seconds=10.0)
    assert all(0 < backoff.next_seconds(0.0) <= 10.0 for _ in range(2000))
