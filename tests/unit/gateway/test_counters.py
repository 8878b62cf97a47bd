"""Counters by label, and the relay timer."""

import asyncio

from broker.errors import BacklogFullError, BrokerUnavailableError
from gateway.counters import TIMED_EVERY, Counters, RelayTimer
from gateway.protocol import close_codes


def test_reasons_of_closes_are_bounded() -> None:
    """The decoder's violations count as one reason, whatever their text."""
    counters = Counters()
    counters.ended(close_codes.SLOW_CONSUMER.name)
    counters.ended(close_codes.SLOW_CONSUMER.saying("another text").name)
    counters.ended("the mask is missing")
    assert counters.closed == {"slow_consumer": 2, "violation": 1}


def test_failed_publishes_are_counted_by_condition() -> None:
    """A full backlog is counted apart from a Redis that is down."""
    counters = Counters()
    counters.publish_failed(BacklogFullError())
    counters.publish_failed(BrokerUnavailableError("away"))
    assert counters.publishes_failed == {"backlog": 1, "unavailable": 1}


async def test_one_of_so_many_messages_is_timed() -> None:
    """The first message is timed, then every sixteenth; each is observed once it was written to the sockets."""
    timer = RelayTimer()
    for number in range(2 * TIMED_EVERY):
        timer.sent(f"id-{number}")
        timer.heard(b"1 m -\nother")
        timer.heard(b"1 m -\nid-%d" % number)
    await asyncio.sleep(0)
    assert timer.seconds.count == 2
    assert timer.awaited is None


def test_a_slow_message_is_not_replaced_by_a_later_one() -> None:
    """Later messages do not replace a slow one: its time is the most important."""
    timer = RelayTimer()
    for number in range(5 * TIMED_EVERY):
        timer.sent(f"id-{number:03}")
    assert timer.awaited == b"id-000"


def test_a_message_that_never_comes_is_given_up() -> None:
    """After the time to give up another message is timed instead."""
    timer = RelayTimer(give_up_seconds=-1.0)
    timer.sent("lost")
    for number in range(TIMED_EVERY):
        timer.sent(f"id-{number}")
    assert timer.awaited == b"id-15"


def test_a_refused_message_is_waited_for_no_longer() -> None:
    """A message whose event will not arrive is forgotten; another awaited message is not."""
    timer = RelayTimer()
    timer.sent("first")
    timer.forget("second")
    assert timer.awaited == b"first"
    timer.forget("first")
    assert timer.awaited is None
