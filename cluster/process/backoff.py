"""The wait before a process that ended is started again."""

import random


class Backoff:
    """Doubles the wait with each quick end, with jitter; after a stable run the first wait comes again."""

    def __init__(self, first_seconds: float = 0.2, longest_seconds: float = 10.0, stable_seconds: float = 20.0) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._stable = stable_seconds
        self._quick_ends = 0

    def next_seconds(self, ran_seconds: float) -> float:
        """The wait after a run of that length: between half of the current step and the whole step."""
        if ran_seconds >= self._stable:
            self._quick_ends = 0
        step = min(self._longest, self._first * 2.0**self._quick_ends)
        # The bound keeps the power from overflowing.
        self._quick_ends = min(self._quick_ends + 1, 30)
        return step * random.uniform(0.5, 1.0)  # noqa: S311 - nothing to guess
