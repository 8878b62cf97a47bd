"""What this gateway counts as it happens, beyond what its parts know of themselves; plain numbers, read when asked."""

import asyncio
import time
from collections import Counter

from broker.errors import BacklogFullError, BrokerError, SessionClosedError, SessionUnknownError
from metrics.definitions import CLOSE_REASON, SECONDS
from metrics.histogram import Histogram

# One of so many messages is timed, and only one at a time: an event then costs no more than a look at an attribute.
TIMED_EVERY = 16
# An event that was not heard by then never will be: the connection to Redis broke, or the room lost its place.
GIVE_UP_SECONDS = 10.0

_REASONS = frozenset(CLOSE_REASON.values)
_FAILURES: dict[type[BrokerError], str] = {
    BacklogFullError: "backlog",
    SessionClosedError: "closed",
    SessionUnknownError: "unknown",
}


class RelayTimer:
    """Times messages through Redis and back, from the frame that brought them to the last write to a socket.

    `awaited` is the id of the message under way, as bytes.
    """

    __slots__ = ("_give_up_seconds", "_left", "_sent_at", "awaited", "seconds")

    def __init__(self, give_up_seconds: float = GIVE_UP_SECONDS) -> None:
        self.seconds = Histogram(SECONDS)
        self.awaited: bytes | None = None
        self._give_up_seconds = give_up_seconds
        self._sent_at = 0.0
        self._left = 1

    def sent(self, message_id: str) -> None:
        """A message whose event will be heard here was sent."""
        self._left -= 1
        # While one is slow the next ones are not timed: replacing it would leave the slow ones out.
        if self._left <= 0 and (self.awaited is None or time.perf_counter() - self._sent_at > self._give_up_seconds):
            self._left = TIMED_EVERY
            self.awaited = message_id.encode()
            self._sent_at = time.perf_counter()

    def heard(self, payload: bytes) -> None:
        """An event was handed to its room; when it is the awaited one, its flush comes first in this loop tick."""
        if self.awaited is not None and self.awaited in payload:
            self.awaited = None
            asyncio.get_running_loop().call_soon(self._delivered, self._sent_at)

    def forget(self, message_id: str) -> None:
        """No event of this message will come: it was refused, or is a repetition."""
        if self.awaited is not None and self.awaited == message_id.encode():
            self.awaited = None

    def _delivered(self, sent_at: float) -> None:
        self.seconds.observe(time.perf_counter() - sent_at)


class Counters:
    """Counts by label. Every label's values are bounded, whatever clients send."""

    __slots__ = (
        "closed",
        "delivered_bytes",
        "deliveries",
        "events",
        "gap_events",
        "joins",
        "joins_refused",
        "log_reads",
        "publishes_failed",
        "relay_timer",
        "replayed_events",
        "replays",
        "resyncs",
        "slow_consumers",
        "upgrades_refused",
    )

    def __init__(self) -> None:
        self.joins: Counter[str] = Counter()
        self.joins_refused: Counter[str] = Counter()
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
        """So many events were written, to so many sockets each, in so many bytes."""
        self.events += events
        self.deliveries += deliveries
        self.delivered_bytes += delivered_bytes

    def ended(self, name: str) -> None:
        """This side closed a connection; a name that is not in the contract's table is what the codec found wrong."""
        self.closed[name if name in _REASONS else "violation"] += 1

    def publish_failed(self, error: BrokerError) -> None:
        """A message was not published."""
        self.publishes_failed[_FAILURES.get(type(error), "unavailable")] += 1
