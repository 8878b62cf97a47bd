"""Rates: their text, and the arithmetic that holds a client to a rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.rate import UNLIMITED, Rate


@pytest.mark.parametrize("text", ["20+40", "0.5+2", "500+1000", "0"])
def test_a_rate_is_written_as_it_was_read(text: str) -> None:
    """The text of a rate is its number a second, a plus sign and its burst; 0 is no limit."""
    assert str(Rate.parse(text)) == text


def test_zero_is_no_limit() -> None:
    """0 and 0+0 are no limit."""
    assert Rate.parse("0") == Rate.parse("0+0") == UNLIMITED
    assert not UNLIMITED.is_limit
    assert Rate.parse("1+1").is_limit


@pytest.mark.parametrize(
    "text", ["", "20", "20+", "+40", "-1+5", "5+-1", "20+0", "0+5", "nan+1", "inf+1", "a+b", "1+2+3"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    """A rate without a burst, a burst without a rate, and what is no number are refused with an example."""
    with pytest.raises(ValueError, match=r"such as 20\+40"):
        Rate.parse(text)


def spent(rate: Rate, times: list[float]) -> list[bool]:
    """Which of these requests of one client are within the rate."""
    arrival, within = 0.0, []
    for now in times:
        after = rate.after(arrival, now)
        within.append(rate.wait(after, now) <= 0)
        if within[-1]:
            arrival = after
    return within


def test_the_burst_passes_at_once_and_then_the_rate() -> None:
    """A client may spend the burst at once, then one each time the rate gives one."""
    rate = Rate(20, 40)
    assert spent(rate, [100.0] * 41) == [True] * 40 + [False]
    assert spent(rate, [100.0] * 40 + [100.04, 100.06, 100.07, 100.11]) == [True] * 40 + [False, True, False, True]


def test_the_wait_is_how_long_the_client_has_to_wait() -> None:
    """After the wait the same request is within the rate."""
    rate = Rate(0.5, 2)
    arrival = rate.after(rate.after(0.0, 100.0), 100.0)
    assert rate.wait(rate.after(arrival, 100.0), 100.0) == pytest.approx(2.0)
    assert rate.wait(rate.after(arrival, 102.0), 102.0) <= 0


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.1, 50), st.integers(1, 40))
def test_no_window_holds_more_than_burst_and_rate(gaps: list[float], per_second: float, burst: int) -> None:
    """In any window of time at most the burst plus the rate times the window passes."""
    now, times = 1000.0, []
    for gap in gaps:
        now += gap
        times.append(now)
    within = [time for time, passes in zip(times, spent(Rate(per_second, burst), times), strict=True) if passes]
    for first in range(len(within)):
        for last in range(first, len(within)):
            window = within[last] - within[first]
            assert last - first + 1 <= burst + per_second * window + 1e-6
