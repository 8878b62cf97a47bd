"""Waiting for a server that is away: interruptible, and logged once."""

import asyncio
import time

import structlog

log = structlog.get_logger()

# The first and the longest wait before the next attempt at a server that is away.
FIRST_SECONDS = 0.1
LONGEST_SECONDS = 5.0


class Outage:
    """One server's outages: counted, each logged when it begins and when it ends, under the names given."""

    def __init__(self, *, away: str, back: str) -> None:
        self._away = away
        self._back = back
        self._began_at: float | None = None
        self.count = 0

    @property
    def is_away(self) -> bool:
        """Whether the server does not work, as far as is known."""
        return self._began_at is not None

    def begin(self, reason: str) -> None:
        """The server does not work."""
        if self._began_at is None:
            self._began_at = time.monotonic()
            self.count += 1
            log.warning(self._away, reason=reason)

    def end(self) -> None:
        """The server works."""
        if self._began_at is not None:
            away_seconds = round(time.monotonic() - self._began_at, 3)
            self._began_at = None
            log.info(self._back, away_seconds=away_seconds)


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event at most that long; returns whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
