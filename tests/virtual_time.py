"""An event loop whose clock does not wait: when nothing is ready, it jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Selector(selectors.DefaultSelector):
    """Moves the clock instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; without a timeout nobody but another thread can wake the loop."""
        if timeout is None:
            return super().select(None)
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 0."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds that have passed on this loop's clock."""
        return self._clock.now

    def pass_time(self, seconds: float) -> None:
        """Let time pass while nothing else runs, as a callback that blocks the loop does."""
        self._clock.now += seconds


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end; however long it sleeps, no real time passes."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)
