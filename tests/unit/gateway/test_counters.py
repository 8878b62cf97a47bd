"""Counting by label."""

from broker.errors import BacklogFullError, BrokerUnavailableError
from gateway.counters import Counters
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.protocol.server_events import Resumed


def test_joins_are_told_apart() -> None:
    """A new user, one whose log reached back, and one who could not be told what was missed."""
    counters = Counters()
    counters.joined(Resumed(), is_back=False)
    counters.joined(Resumed(recovered=True, source="log"), is_back=True)
    counters.joined(Resumed(), is_back=True)
    assert counters.joins == {"new": 1, "log": 1, "none": 1}


def test_reasons_are_bounded() -> None:
    """What the codec found wrong counts as one reason, whatever its words are."""
    counters = Counters()
    counters.ended(close_codes.SLOW_CONSUMER)
    counters.ended(close_codes.SLOW_CONSUMER.saying("another text"))
    counters.ended(Ending(1002, "the mask is missing", "the mask is missing"))
    assert counters.closed == {"slow_consumer": 2, "violation": 1}


def test_failures_by_condition() -> None:
    """A full backlog is told apart from a Redis that is away."""
    counters = Counters()
    counters.publish_failed(BacklogFullError())
    counters.publish_failed(BrokerUnavailableError("away"))
    assert counters.publishes_failed == {"backlog": 1, "unavailable": 1}
