"""When rooms send their queued events: at the end of a read from Redis, else in the next turn of the event loop."""

import asyncio
from collections.abc import Callable

Act = Callable[[], None]


class FlushScheduler:
    """The Redis link reports the start and end of each read. At the end the flushes run, then the deferred calls."""

    def __init__(self) -> None:
        self.is_reading = False
        self._loop = asyncio.get_running_loop()
        self._flushes: list[Act] = []
        self._deferred: list[Act] = []

    def start_of_read(self) -> None:
        """The link received bytes from Redis, and hands out their replies and events next."""
        self.is_reading = True

    def end_of_read(self) -> None:
        """The link has handed out every reply and event of this read: run the flushes now."""
        self.is_reading = False
        if self._flushes or self._deferred:
            self._run()

    def schedule(self, flush: Act) -> None:
        """Call `flush` at the end of this read, else in the next turn of the event loop."""
        self._wake()
        self._flushes.append(flush)

    def defer(self, act: Act) -> None:
        """Call `act` after the flushes of this read or turn: a loop over members must not change the members."""
        self._wake()
        self._deferred.append(act)

    def _wake(self) -> None:
        if not self.is_reading and not self._flushes and not self._deferred:
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        flushes, self._flushes = self._flushes, []
        for flush in flushes:
            flush()
        deferred, self._deferred = self._deferred, []
        for act in deferred:
            act()
