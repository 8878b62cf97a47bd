"""Timing messages on their way through Redis."""

import asyncio

import pytest

from gateway import stopwatch
from gateway.stopwatch import EVERY, RelayTimer


async def test_one_of_so_many_is_timed() -> None:
    """The first message is timed, then every sixteenth; each is counted once it was written out."""
    watch = RelayTimer()
    for number in range(2 * EVERY):
        watch.sent(f"id-{number}")
        watch.heard(b"1 m -\nother")
        watch.heard(b"1 m -\nid-%d" % number)
    await asyncio.sleep(0)
    assert watch.seconds.count == 2
    assert watch.awaited is None


async def test_a_slow_message_is_waited_for() -> None:
    """Messages after a slow one don't replace it: its time is what matters most."""
    watch = RelayTimer()
    for number in range(5 * EVERY):
        watch.sent(f"id-{number:03}")
    assert watch.awaited == b"id-000"


def test_what_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some seconds another message is timed instead."""
    watch = RelayTimer()
    watch.sent("lost")
    monkeypatch.setattr(stopwatch, "GIVE_UP_SECONDS", -1.0)
    for number in range(EVERY):
        watch.sent(f"id-{number}")
    assert watch.awaited == b"id-15"


def test_what_was_refused_is_forgotten() -> None:
    """A message whose event will not come is waited for no longer, while another one still is."""
    watch = RelayTimer()
    watch.sent("first")
    watch.forget("second")
    assert watch.awaited == b"first"
    watch.forget("first")
    assert watch.awaited is None
