"""The heartbeat: visits one slice of the connections each second, so that pings are spread evenly over time."""

import asyncio
import random
from typing import Protocol


class Visited(Protocol):
    """A connection."""

    def visit(self) -> None:
        """One heartbeat interval is over."""


class Heartbeat:
    """Visits every connection once in each `interval_seconds`."""

    def __init__(self, interval_seconds: int) -> None:
        self.interval_seconds = interval_seconds
        self._slices: list[set[Visited]] = [set() for _ in range(interval_seconds)]

    def add(self, connection: Visited) -> int:
        """Visit this connection from now on; returns the number that `discard` needs. The first visit is jittered."""
        number = random.randrange(self.interval_seconds)  # noqa: S311 - spreads load
        self._slices[number].add(connection)
        return number

    def discard(self, number: int, connection: Visited) -> None:
        """Stop visiting the connection."""
        self._slices[number].discard(connection)

    async def run(self) -> None:
        """Visit connections until cancelled."""
        number = 0
        while True:
            await asyncio.sleep(1)
            number = (number + 1) % self.interval_seconds
            # A visit may end its connection; `discard` comes only from `connection_lost`, in a later loop turn.
            for connection in self._slices[number]:
                connection.visit()
