"""How late the event loop runs: everything a gateway does waits that long."""

import asyncio
from collections import deque

TICK_SECONDS = 0.25
RECENT_SECONDS = 5.0


class LoopLag:
    """Measures by sleeping; `run` is its task. Four wake-ups a second cost nothing that shows."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # (when, seconds late), the latest last; none that a later one exceeds, so the first is the greatest.
        self._recent: deque[tuple[float, float]] = deque()

    @property
    def seconds(self) -> float:
        """The greatest lag of the last five seconds."""
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
        """Remember that the loop was so late."""
        self._forget(now)
        while self._recent and self._recent[-1][1] <= seconds:
            self._recent.pop()
        self._recent.append((now, max(0.0, seconds)))

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - RECENT_SECONDS:
            self._recent.popleft()
