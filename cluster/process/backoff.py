"""The wait before a process that ended is started again."""

from broker.redis.backoff import Backoff


class RestartBackoff:
    """Doubles the wait with each quick end, with jitter; after a stable run the first wait comes again."""

    def __init__(self, first_seconds: float = 0.2, longest_seconds: float = 10.0, stable_seconds: float = 20.0) -> None:
        self._backoff = Backoff(first_seconds, longest_seconds)
        self._stable = stable_seconds

    def next_seconds(self, ran_seconds: float) -> float:
        """The wait after a run of that length: between half of the current step and the whole step."""
        if ran_seconds >= self._stable:
            self._backoff.reset()
        return self._backoff.next_seconds()
