"""The queue of the sockets whose bytes wait: each gets its turn, and together they never hold up the loop for long."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

# For how long the waiting sockets together may use one turn of the event loop, as far as whole turns of theirs allow.
SHARE_SECONDS = 0.002


class Waiting(Protocol):
    """A connection whose bytes wait."""

    def take_turn(self) -> None:
        """Carry out one turn of the bytes that wait; the connection may enter the queue again, at its end."""


class Turns:
    """A round robin. Sockets that have sent little never enter the queue, and so never wait for it (as in RFC 8290)."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter, share_seconds: float = SHARE_SECONDS) -> None:
        self._clock = clock
        self._share_seconds = share_seconds
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Waiting] = deque()
        self._is_running = False

    def enter(self, connection: Waiting) -> None:
        """Give the connection a turn in a later turn of the loop."""
        self._queue.append(connection)
        self._wake()

    def _wake(self) -> None:
        if self._queue and not self._is_running:
            self._is_running = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        until = self._clock() + self._share_seconds
        try:
            for _ in range(len(self._queue)):
                self._queue.popleft().take_turn()
                if self._clock() >= until:
                    break
        finally:
            self._is_running = False
            self._wake()
