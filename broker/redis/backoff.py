"""How long to wait before the next attempt."""

import random


class Backoff:
    """Waits that double up to a cap. Each wait has jitter, so that clients which fail together do not retry together.

    `first_seconds` is the first step and `longest_seconds` the longest one.
    """

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._step = min(first_seconds, longest_seconds)

    def next_seconds(self) -> float:
        """The next wait: between half of the current step and the whole step."""
        step = self._step
        self._step = min(step * 2, self._longest)
        return step * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """Start again at the first step; call this after a success."""
        self._step = min(self._first, self._longest)
