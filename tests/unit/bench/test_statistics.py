import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics import percentile, ratio, summarise


def test_a_summary_holds_the_median_and_the_extremes() -> None:
    """The median of an odd number of rounds is the one in the middle."""
    found = summarise([3.0, 1.0, 2.0])
    assert (found.median, found.low, found.high, found.rounds) == (2.0, 1.0, 3.0, 3)
    assert found.spread == 1.0


def test_a_summary_of_no_values_is_an_error() -> None:
    """No values are an error, not a zero."""
    with pytest.raises(ValueError, match="nothing"):
        summarise([])
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 5), (90, 9), (99, 10), (100, 10)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    """The nearest rank is taken, nothing is interpolated."""
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == expected


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0, 100))
def test_enough_values_are_not_above_the_percentile(values: list[float], percent: float) -> None:
    """At least that share of the values is less than or equal to the percentile."""
    limit = percentile(values, percent)
    assert sum(value <= limit for value in values) >= len(values) * percent / 100 - 1e-9


def test_a_ratio_to_nothing_is_infinite() -> None:
    """What cost nothing can't be a reference."""
    assert ratio(1, 4) == 0.25
    assert math.isinf(ratio(1, 0))
