"""A rate with a burst, and the arithmetic that holds a client to the rate. Pure: the caller gives the time."""

from typing import Final, Self

# Sums of floats are not exact: without this the last request of a burst could be one too many.
_ROUNDING_SECONDS: Final = 1e-6


class Rate:
    """`per_second` on average, and up to `burst` at once; written `20+40`. A rate of 0 is no limit, written `0`.

    The arithmetic is the generic cell rate algorithm (ITU-T I.371, annex A): it keeps one number for each client, the
    theoretical arrival time, which is the time at which the client will have its whole burst again. 0.0 stands for a
    client that was never seen. `interval` is the time that the rate gives to one request, `span` the time that the
    burst takes, both in seconds; of no limit they are 0 and infinity, so that the arithmetic needs no special case.
    """

    # Not a struct: msgspec would then read an object, not the text of a variable.
    __slots__ = ("burst", "interval", "per_second", "span")

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second = per_second
        self.burst = burst
        self.interval = 1 / per_second if per_second > 0 else 0.0
        self.span = burst * self.interval + _ROUNDING_SECONDS if per_second > 0 else float("inf")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `20+40`, or `0`. Raises ValueError."""
        rate, plus, burst = text.partition("+")
        try:
            parsed = cls(float(rate), int(burst) if plus else 0)
        except ValueError:
            parsed = cls(-1.0, 0)
        if not 0 <= parsed.per_second < float("inf") or (parsed.per_second > 0) != (parsed.burst > 0):
            raise ValueError("must be a rate a second, `+`, and a burst, such as 20+40, or 0 for no limit")
        return parsed

    def __str__(self) -> str:
        """As it is written in the environment."""
        return f"{self.per_second:g}+{self.burst}" if self.is_limit else "0"

    def __repr__(self) -> str:
        return f"Rate({self.per_second:g}, {self.burst})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rate) and (self.per_second, self.burst) == (other.per_second, other.burst)

    def __hash__(self) -> int:
        return hash((self.per_second, self.burst))

    @property
    def is_limit(self) -> bool:
        """Whether there is a limit."""
        return self.per_second > 0

    def after(self, arrival: float, now: float, cost: int = 1) -> float:
        """The theoretical arrival time once the client at `arrival` has spent `cost` more, in seconds."""
        return max(arrival, now) + cost * self.interval

    def wait(self, arrival: float, now: float) -> float:
        """For how many seconds a client that would come to `arrival` must wait first; 0.0 or less: not at all."""
        return arrival - self.span - now


UNLIMITED = Rate(0.0, 0)
