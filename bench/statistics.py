"""Medians, spreads and percentiles of what was measured."""

from collections.abc import Sequence
from statistics import median

import msgspec

PERCENT = 100


class Summary(msgspec.Struct, frozen=True):
    """The summary of the rounds of one measurement, in the unit of the values."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def spread(self) -> float:
        """(high - low) ÷ median; 0 when the median is 0."""
        return (self.high - self.low) / self.median if self.median else 0.0


def summarise(values: Sequence[float]) -> Summary:
    """The median, the least and the greatest. Raises ValueError for no values."""
    if not values:
        raise ValueError("there is nothing to summarise")
    return Summary(median(values), min(values), max(values), len(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value with `percent` percent of all values at or below it (nearest rank). ValueError for none."""
    if not values:
        raise ValueError("there is nothing to rank")
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // PERCENT)
    return ordered[max(int(rank), 1) - 1]


def ratio(value: float, reference: float) -> float:
    """`value` ÷ reference; infinity when the reference is 0."""
    return value / reference if reference else float("inf")
