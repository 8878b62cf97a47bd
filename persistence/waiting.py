"""Waiting for a server that is away: how long, interruptible, and said once in the log."""

import asyncio
import random
import time

import structlog

log = structlog.get_logger()

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 5.0


class Backoff:
    """Waits that double up to a cap, each with jitter, so that many who wait do not come back together."""

    def __init__(self, first_seconds: float = FIRST_SECONDS, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._step = first_seconds

    def next_seconds(self) -> float:
        """The next wait: between half of and the whole current step."""
        step = self._step
        self._step = min(step * 2, self._longest)
        return step * random.uniform(0.5, 1.0)  # noqa: S311 - nothing to guess

    def reset(self) -> None:
        """Start over; call it when the server answered."""
        self._step = self._first


class Outage:
    """One server's absences: counted, each logged when it begins and when it ends, under the names given."""

    def __init__(self, *, away: str, back: str) -> None:
        self._away = away
        self._back = back
        self._began_at: float | None = None
        self.count = 0

    @property
    def is_away(self) -> bool:
        """Whether it does not work, as far as is known."""
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
    """Wait for the event at most so long; whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
