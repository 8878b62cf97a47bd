"""When rooms send what is queued: at the end of a read from Redis, else in the next turn of the event loop."""

import asyncio
from collections.abc import Callable

Act = Callable[[], None]


class FlushScheduler:
    """The link tells when it reads; rooms have flushes scheduled; what must not happen inside a flush is deferred."""

    def __init__(self) -> None:
        self.is_reading = False
        self._loop = asyncio.get_running_loop()
        self._flushes: list[Act] = []
        self._deferred: list[Act] = []

    def start_of_read(self) -> None:
        """Something arrived from Redis: replies and events follow."""
        self.is_reading = True

    def end_of_read(self) -> None:
        """Everything that arrived at once was handed out: it leaves now."""
        self.is_reading = False
        if self._flushes or self._deferred:
            self._run()

    def schedule(self, flush: Act) -> None:
        """Call `flush` once everything that came along is there."""
        self._wake()
        self._flushes.append(flush)

    def defer(self, act: Act) -> None:
        """Call `act` after the flush that is running, or soon: a loop over members must not change them."""
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
