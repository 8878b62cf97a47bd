"""The drain: be unready, wait for the balancer, then send the clients elsewhere one by one, in bounded time."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from gateway.access.door import Door
from gateway.settings import Settings

# A few clients go at once: only more than this many a second are worth spreading.
PER_SECOND = 100
# Clients come back here and there, not all on the same millisecond.
LEAST_MS, MOST_MS = 50, 500
# What closing and telling Redis may take after the last client was sent away.
RESERVE_SECONDS = 5.0
LEAST_SECONDS = 0.2
# A join that takes longer is broken off.
JOIN_SECONDS = 2.0
LOOK_SECONDS = 0.02

log = structlog.get_logger()


class Leaving(Protocol):
    """A client's connection."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing is delivered or heard any more."""

    @property
    def is_joining(self) -> bool:
        """Whether a seat is being taken."""

    def shutdown(self, after_ms: int) -> None:
        """Tell the client to come back after so long, elsewhere, and close; its seat is kept for it."""


class Drain:
    """Runs once. `drained_total` counts the connections that were sent elsewhere."""

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
        """Be unready and refuse upgrades from now on. May be called by a signal's handler."""
        self._door.begin_draining()

    def hurry(self) -> None:
        """Send everyone elsewhere now. May be called by a signal's handler."""
        self._loop.call_soon_threadsafe(self._hurried.set)

    def left(self, most_seconds: float, *, but: float = 0.0) -> float:
        """How long something may still take, when `but` seconds shall remain after it."""
        if self._deadline is None:
            return most_seconds
        return min(most_seconds, max(LEAST_SECONDS, self._deadline - but - self._loop.time()))

    async def run(self, connections: Callable[[], Sequence[Leaving]]) -> None:
        """Send every connection elsewhere; those that are still closing when this returns get a little longer."""
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

    async def _spread(self, order: Sequence[Leaving]) -> None:
        """Each in its slot; those in the middle of a join when they have joined, so that they get their token."""
        seconds = min(self._window_seconds, len(order) / PER_SECOND)
        start = self._loop.time()
        late: list[Leaving] = []
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

    def _send_away(self, connection: Leaving, end: float) -> None:
        if connection.has_ended:
            return
        self.drained_total += 1
        # When all go at once, it is their return that is spread over what is left of the window.
        rest_ms = max(0.0, end - self._loop.time()) * 1000 if self._hurried.is_set() else 0
        connection.shutdown(random.randint(LEAST_MS, MOST_MS + int(rest_ms)))  # noqa: S311 - jitter

    async def _pause(self, seconds: float) -> None:
        """Let others run, and wait, unless there is no time for that any more."""
        await asyncio.sleep(0)
        if seconds > 0 and not self._hurried.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._hurried.wait()
