"""Figures of the witness's record."""

import math

from tests.attack.record import Newcomers, Record, Send, figures, newcomers, quantile, troubles


def test_a_message_that_never_arrives_counts_as_late_as_the_record_is_long() -> None:
    """Otherwise a gateway that answers nobody would look fast."""
    sends = [Send(1.0, received_at=1.010, acked_at=1.005), Send(2.0), Send(3.0, received_at=3.020)]
    found = figures(Record(sends=sends, ended_at=12.0), 0.0, 10.0)
    assert (found.messages, found.p50, found.p99, found.most) == (3, 20.0, 10_000.0, 10_000.0)
    assert found.ack_p99 == 10_000.0
    assert found.unanswered == 2


def test_only_the_messages_of_the_phase_count() -> None:
    """From its begin up to its end, by the time at which they were sent."""
    record = Record(sends=[Send(float(at), at + 0.001, at + 0.001) for at in range(10)], ended_at=20.0)
    assert figures(record, 2.0, 5.0).messages == 3
    empty = figures(record, 100.0, 200.0)
    assert empty.messages == 0
    assert math.isnan(empty.p99)


def test_troubles_are_counted_by_code_in_their_phase() -> None:
    """Errors, closes and refused reconnects."""
    record = Record(
        errors=[(1.0, "unavailable"), (5.0, "unavailable"), (6.0, "rate_limited"), (7.0, "unavailable")],
        closes=[(5.0, 4003), (6.0, 0), (6.5, 4003), (50.0, 4000)],
        refused=[0.5, 5.0],
        newcomers=[(0.5, 9.0), (5.0, 0.010), (6.0, 0.020)],
        turned_away=[(5.0, "HTTP 503"), (50.0, "HTTP 503")],
    )
    found = troubles(record, 4.0, 10.0)
    assert found.errors == {"rate_limited": 1, "unavailable": 2}
    assert found.closes == {"0": 1, "4003": 2}
    assert found.refused == 1
    assert found.turned_away == {"HTTP 503": 1}
    assert newcomers(record, 4.0, 10.0) == Newcomers(joined=2, most=20.0)


def test_quantiles_are_values_that_were_measured() -> None:
    """The nearest rank: p99 of few values is the largest."""
    values = [float(value) for value in range(1, 101)]
    assert [quantile(values, part) for part in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert quantile([3.0], 0.99) == 3.0
