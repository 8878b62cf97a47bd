"""Times messages on their way through Redis and back, from the frame that brought them to the last write to a socket.

One of 16 is timed, and only one at a time, so that an event costs no more than a look at an attribute.
"""

import asyncio
import time

from metrics.definitions import SECONDS
from metrics.histogram import Histogram

EVERY = 16
# What is not heard by then never will be: the connection to Redis broke, or the room lost its place.
GIVE_UP_SECONDS = 10.0


class RelayTimer:
    """`awaited` is the id of the message under way, as bytes."""

    __slots__ = ("_left", "_sent_at", "awaited", "seconds")

    def __init__(self) -> None:
        self.seconds = Histogram(SECONDS)
        self.awaited: bytes | None = None
        self._sent_at = 0.0
        self._left = 1

    def sent(self, message_id: str) -> None:
        """A message whose event will be heard here was sent."""
        self._left -= 1
        # While one is slow the next ones are not timed: replacing it would leave the slow ones out.
        if self._left <= 0 and (self.awaited is None or time.perf_counter() - self._sent_at > GIVE_UP_SECONDS):
            self._left = EVERY
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
