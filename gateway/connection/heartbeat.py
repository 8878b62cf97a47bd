"""Pings idle connections in one sweep: each second one slice of them is visited, so pings are spread evenly."""

import asyncio
import random
from typing import Protocol


class Beating(Protocol):
    """A connection that can be visited."""

    def visit(self) -> None:
        """Ping when nothing was heard since the last visit; end after two pings without an answer."""


class Heartbeat:
    """Visits every connection each `interval_seconds`."""

    def __init__(self, interval_seconds: int) -> None:
        self.interval_seconds = interval_seconds
        self._slices: list[set[Beating]] = [set() for _ in range(interval_seconds)]

    def add(self, connection: Beating) -> int:
        """Visit this connection from now on; returns what `discard` needs. The first visit is jittered."""
        number = random.randrange(self.interval_seconds)  # noqa: S311 - spreads load
        self._slices[number].add(connection)
        return number

    def discard(self, number: int, connection: Beating) -> None:
        """Visit it no more."""
        self._slices[number].discard(connection)

    async def run(self) -> None:
        """Sweep until cancelled."""
        number = 0
        while True:
            await asyncio.sleep(1)
            number = (number + 1) % self.interval_seconds
            for connection in list(self._slices[number]):
                connection.visit()
