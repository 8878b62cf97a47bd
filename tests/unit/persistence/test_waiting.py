"""Waiting for a server that is away."""

import asyncio

import pytest
from structlog.testing import capture_logs

from persistence.waiting import Backoff, Outage, is_set_within


def test_waits_double_up_to_the_cap() -> None:
    """Each wait lies between half of and the whole step, and the steps double until the cap."""
    backoff = Backoff(first_seconds=1, longest_seconds=5)
    waits = [backoff.next_seconds() for _ in range(5)]
    for wait, step in zip(waits, [1, 2, 4, 5, 5], strict=True):
        assert step / 2 <= wait <= step


def test_reset_starts_over() -> None:
    """After the server answered, the first wait is short again."""
    backoff = Backoff(first_seconds=1, longest_seconds=50)
    for _ in range(6):
        backoff.next_seconds()
    backoff.reset()
    assert backoff.next_seconds() <= 1


def test_waits_are_jittered() -> None:
    """Many who begin to wait together do not come back together."""
    assert len({Backoff().next_seconds() for _ in range(20)}) > 1


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends() -> None:
    """However often it is noticed, an outage makes two lines."""
    outage = Outage(away="worker.moon_away", back="worker.moon_back")
    with capture_logs() as lines:
        outage.end()
        outage.begin("dark")
        outage.begin("still dark")
        outage.end()
        outage.end()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("worker.moon_away", "warning"),
        ("worker.moon_back", "info"),
    ]
    assert lines[0]["reason"] == "dark"
    assert (outage.count, outage.is_away) == (1, False)


@pytest.mark.parametrize("is_set", [True, False])
async def test_waiting_for_an_event_is_bounded(is_set: bool) -> None:
    """The answer is whether the event was set in time."""
    event = asyncio.Event()
    if is_set:
        event.set()
    assert await is_set_within(event, 0.01) is is_set
