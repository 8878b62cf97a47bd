"""Measures the lag of the event loop: how long each step of the gateway has to wait."""

import asyncio
from collections import deque

TICK_SECONDS = 0.25
RECENT_SECONDS = 5.0


class LoopLag:
    """Measures how late a sleep ends, four times a second; `run` is the task."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # (time, seconds late), the newest last. A later entry drops smaller ones, so that the first is the greatest.
        self._recent: deque[tuple[float, float]] = deque()

    @property
    def seconds(self) -> float:
        """The greatest lag of the last RECENT_SECONDS, in seconds."""
        self._forget(self._loop.time())
        return self._recent[0][1] if self._recent else 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = self._loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            now = self._loop.time()
            self.late(now, now - due)

    def late(self, now: float, seconds: float) -> None:
        """Record that the loop was `seconds` late at time `now`."""
        self._forget(now)
        while self._recent and self._recent[-1][1] <= seconds:
            self._recent.pop()
        self._recent.append((now, max(0.0, seconds)))

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - RECENT_SECONDS:
            self._recent.popleft()
