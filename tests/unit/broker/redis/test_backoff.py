"""Waits between attempts."""

from broker.redis.backoff import Backoff


def test_waits_double_up_to_the_cap() -> None:
    """Each wait lies between half of the step and the whole step, and the steps double until the cap."""
    backoff = Backoff(1, 5)
    waits = [backoff.next_seconds() for _ in range(5)]
    for wait, step in zip(waits, [1, 2, 4, 5, 5], strict=True):
        assert step / 2 <= wait <= step


def test_the_cap_bounds_the_first_wait_too() -> None:
    """A first step above the cap is cut, at the start and after a reset."""
    backoff = Backoff(10, 1)
    assert backoff.next_seconds() <= 1
    backoff.reset()
    assert backoff.next_seconds() <= 1


def test_reset_starts_again_at_the_first_step() -> None:
    """After a success the first wait is short again."""
    backoff = Backoff(1, 50)
    for _ in range(6):
        backoff.next_seconds()
    backoff.reset()
    assert backoff.next_seconds() <= 1


def test_waits_are_jittered() -> None:
    """Clients that begin to wait together do not come back together."""
    assert len({Backoff(1, 5).next_seconds() for _ in range(20)}) > 1
