"""Deadlines of connections: one timer and one heap for those that are near, nothing for the others.

A connection knows its own deadline. The heartbeat visits each connection once in an interval, and a connection enters
its deadline here when the deadline is near, so that a token of a day costs no entry for a day.
"""

import asyncio
import heapq
from itertools import count
from typing import Protocol

# So many are handled in one turn of the loop: a thousand tokens that end together must not hold up the messages.
AT_ONCE = 16


class Due(Protocol):
    """A connection."""

    def deadline(self) -> None:
        """A deadline that was entered is over; the connection may have moved it, or may have ended."""


class Deadlines:
    """The deadlines that are near, by the time of the loop."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Due]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, at: float, connection: Due) -> None:
        """Call the connection's `deadline` then."""
        heapq.heappush(self._heap, (at, next(self._order), connection))
        if self._heap[0][2] is connection:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._run) if self._heap else None

    def _run(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for _ in range(AT_ONCE):
            if not self._heap or self._heap[0][0] > now:
                break
            heapq.heappop(self._heap)[2].deadline()
        self._set_timer()
