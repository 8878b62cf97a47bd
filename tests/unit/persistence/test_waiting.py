"""Waiting for a server that is away."""

import asyncio

import pytest
from structlog.testing import capture_logs

from persistence.waiting import Outage, is_set_within


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
