"""Pings idle connections in one sweep: each second one slice of them is visited, so pings are spread evenly."""

import asyncio
import random
from typing import Protocol


class Visited(Protocol):
    """A connection."""

    def visit(self) -> None:
        """One heartbeat interval is over."""


class Heartbeat:
    """Visits every connection each `interval_seconds`."""

    def __init__(self, interval_seconds: int) -> None:
        self.interval_seconds = interval_seconds
        self._slices: list[set[Visited]] = [set() for _ in range(interval_seconds)]

    def add(self, connection: Visited) -> int:
        """Visit this connection from now on; returns the number that `discard` needs. The first visit is jittered."""
        number = random.randrange(self.interval_seconds)  # noqa: S311 - spreads load
        self._slices[number].add(connection)
        return number

    def discard(self, number: int, connection: Visited) -> None:
        """Visit the connection no more."""
        self._slices[number].discard(connection)

    async def run(self) -> None:
        """Sweep until cancelled."""
        number = 0
        while True:
            await asyncio.sleep(1)
            number = (number + 1) % self.interval_seconds
            # A visit may end the connection; it is discarded only when its transport is gone, in a later tick.
            for connection in self._slices[number]:
                connection.visit()
