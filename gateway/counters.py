"""Counters of this gateway's events, for the metrics: plain numbers, which the collector reads."""

import asyncio
import time
from collections import Counter

from broker.errors import (
    BacklogFullError,
    BrokerError,
    SessionBacklogFullError,
    SessionClosedError,
    SessionUnknownError,
)
from metrics.definitions import CLOSE_REASON, SECONDS
from metrics.histogram import Histogram

# One message in so many is timed, and only one at a time: for other events the cost is one attribute access.
TIMED_EVERY = 16
# An event that has not arrived by then is lost: the connection to Redis broke, or the room resynchronised.
GIVE_UP_SECONDS = 10.0

_REASONS = frozenset(CLOSE_REASON.values)
_FAILURES: dict[type[BrokerError], str] = {
    BacklogFullError: "backlog",
    SessionBacklogFullError: "backlog",
    SessionClosedError: "closed",
    SessionUnknownError: "unknown",
}


class RelayTimer:
    """Times messages from the client's frame, through Redis and back, to the last write to a socket, in seconds.

    `awaited` is the id of the message that is timed now, as bytes; None when no message is timed.
    """

    __slots__ = ("_give_up_seconds", "_left", "_sent_at", "awaited", "seconds")

    def __init__(self, give_up_seconds: float = GIVE_UP_SECONDS) -> None:
        self.seconds = Histogram(SECONDS)
        self.awaited: bytes | None = None
        self._give_up_seconds = give_up_seconds
        self._sent_at = 0.0
        self._left = 1

    def sent(self, message_id: str) -> None:
        """A message was sent whose event will arrive here."""
        self._left -= 1
        # A slow message is not replaced by the next one: that would leave slow messages out of the histogram.
        if self._left <= 0 and (self.awaited is None or time.perf_counter() - self._sent_at > self._give_up_seconds):
            self._left = TIMED_EVERY
            self.awaited = message_id.encode()
            self._sent_at = time.perf_counter()

    def heard(self, payload: bytes) -> None:
        """An event was handed to its room. Its flush runs before the callback that this schedules."""
        if self.awaited is not None and self.awaited in payload:
            self.awaited = None
            asyncio.get_running_loop().call_soon(self._delivered, self._sent_at)

    def forget(self, message_id: str) -> None:
        """No event of this message will arrive: the message was refused, or is a repetition."""
        if self.awaited is not None and self.awaited == message_id.encode():
            self.awaited = None

    def _delivered(self, sent_at: float) -> None:
        self.seconds.observe(time.perf_counter() - sent_at)


class Counters:
    """The counters. The values of every label are from a fixed set, so that clients can't add time series."""

    __slots__ = (
        "closed",
        "delivered_bytes",
        "deliveries",
        "events",
        "gap_events",
        "joins",
        "joins_refused",
        "limited",
        "log_reads",
        "publishes_failed",
        "relay_timer",
        "replayed_events",
        "replays",
        "resyncs",
        "slow_consumers",
        "tokens_renewed",
        "upgrades_refused",
    )

    def __init__(self) -> None:
        self.joins: Counter[str] = Counter()
        self.joins_refused: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.tokens_renewed: Counter[str] = Counter()
        self.upgrades_refused: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.publishes_failed: Counter[str] = Counter()
        self.events = 0
        self.deliveries = 0
        self.delivered_bytes = 0
        self.log_reads = 0
        self.gap_events = 0
        self.replays = 0
        self.replayed_events = 0
        self.slow_consumers = 0
        self.resyncs = 0
        self.relay_timer = RelayTimer()

    def delivered(self, events: int, deliveries: int, delivered_bytes: int) -> None:
        """Add written events, their deliveries (events times sockets), and the bytes written."""
        self.events += events
        self.deliveries += deliveries
        self.delivered_bytes += delivered_bytes

    def ended(self, name: str) -> None:
        """Count a connection that the gateway closed. A name outside the table of endings is a violation's."""
        self.closed[name if name in _REASONS else "violation"] += 1

    def publish_failed(self, error: BrokerError) -> None:
        """Count a message that was not published, by cause."""
        self.publishes_failed[_FAILURES.get(type(error), "unavailable")] += 1
