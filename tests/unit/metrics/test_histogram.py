"""The histogram of plain numbers."""

from metrics.histogram import Histogram


def test_values_fall_into_their_buckets() -> None:
    """Each value counts for its own bound, bounds included, and for all above."""
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        histogram.observe(value)
    assert histogram.buckets() == [("0.1", 2.0), ("1", 4.0), ("+Inf", 5.0)]
    assert (histogram.count, histogram.total) == (5, 8.65)


def test_an_empty_histogram_has_all_its_buckets() -> None:
    """An empty histogram has its buckets all the same."""
    assert Histogram((1.0,)).buckets() == [("1", 0.0), ("+Inf", 0.0)]
