"""The drain: become unready, wait for the balancer, then send the clients to other gateways, in bounded time."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from gateway.access.door import Door
from gateway.settings import Settings

# The window is shortened so that at least so many clients a second are sent away: a few clients go at once.
PER_SECOND = 100
# Jitter of `after_ms`, so that the clients do not all reconnect in the same millisecond.
LEAST_MS, MOST_MS = 50, 500
# Time reserved for closing sockets and sending leaves to Redis, after the last client was sent away.
RESERVE_SECONDS = 5.0
LEAST_SECONDS = 0.2
# How long the drain waits for joins under way; after that their connections are closed too.
JOIN_SECONDS = 2.0
LOOK_SECONDS = 0.02

log = structlog.get_logger()


class Drainable(Protocol):
    """A client's connection."""

    @property
    def has_ended(self) -> bool:
        """Whether the connection is closing or closed."""

    @property
    def is_joining(self) -> bool:
        """Whether the join is under way."""

    def shutdown(self, after_ms: int) -> None:
        """Tell the client to reconnect after `after_ms` milliseconds, and close; Redis keeps the client's seat."""


class Drain:
    """The drain of one gateway; runs once. `drained_total` counts the connections that were sent away."""

    def __init__(self, door: Door, settings: Settings) -> None:
        self.drained_total = 0
        self.is_over = False
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._timeout_seconds = float(settings.shutdown_timeout_seconds)
        spare_seconds = max(0.0, self._timeout_seconds - RESERVE_SECONDS)
        self._wait_seconds = min(settings.drain_wait_seconds, spare_seconds)
        self._window_seconds = min(settings.drain_window_seconds, spare_seconds - self._wait_seconds)
        self._deadline: float | None = None
        self._hurried = asyncio.Event()

    def begin(self) -> None:
        """Become unready, and refuse upgrades from now on. A signal handler may call this."""
        self._door.begin_draining()

    def hurry(self) -> None:
        """Send every client away now. A signal handler may call this."""
        self._loop.call_soon_threadsafe(self._hurried.set)

    def left(self, most_seconds: float, *, but: float = 0.0) -> float:
        """How long a step may take: at most `most_seconds`, and so that `but` seconds remain before the deadline."""
        if self._deadline is None:
            return most_seconds
        return min(most_seconds, max(LEAST_SECONDS, self._deadline - but - self._loop.time()))

    async def run(self, connections: Callable[[], Sequence[Drainable]]) -> None:
        """Send every client away; returns before all of their sockets are closed."""
        self.begin()
        started_at = self._loop.time()
        self._deadline = started_at + self._timeout_seconds
        log.info("gateway.draining", sockets=self._door.sockets, window_seconds=self._window_seconds)
        await self._pause(self._wait_seconds)
        order = list(connections())
        random.shuffle(order)
        await self._spread(order)
        self.is_over = True
        log.info("gateway.drained", sockets=self.drained_total, seconds=round(self._loop.time() - started_at, 3))

    async def _spread(self, order: Sequence[Drainable]) -> None:
        """Send each client away in its slot; joining clients last, when they have joined and got their token."""
        seconds = min(self._window_seconds, len(order) / PER_SECOND)
        start = self._loop.time()
        late: list[Drainable] = []
        for number, connection in enumerate(order):
            await self._pause(start + seconds * number / len(order) - self._loop.time())
            if connection.is_joining:
                late.append(connection)
            else:
                self._send_away(connection, start + seconds)
        latest = self._loop.time() + JOIN_SECONDS
        while any(one.is_joining for one in late) and self._loop.time() < latest and not self._hurried.is_set():
            await self._pause(LOOK_SECONDS)
        for connection in late:
            self._send_away(connection, start + seconds)

    def _send_away(self, connection: Drainable, end: float) -> None:
        if connection.has_ended:
            return
        self.drained_total += 1
        # In a hurry all clients are sent away at once: spread their reconnects over the rest of the window instead.
        rest_ms = max(0.0, end - self._loop.time()) * 1000 if self._hurried.is_set() else 0
        connection.shutdown(random.randint(LEAST_MS, MOST_MS + int(rest_ms)))  # noqa: S311 - jitter

    async def _pause(self, seconds: float) -> None:
        """Let other tasks run, then wait for `seconds`, or until the drain is hurried."""
        await asyncio.sleep(0)
        if seconds > 0 and not self._hurried.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._hurried.wait()
