"""Rates and shares of what the monitors see."""

from cluster.supervisor.probes import Health, Rates, share_lag


def health(events: int, deliveries: int = 0) -> Health:
    return Health(sockets=0, sessions=0, events_total=events, deliveries_total=deliveries)


def test_a_rate_is_the_growth_of_a_total_per_second() -> None:
    """The rate is the growth of the totals, divided by the time between two probes."""
    rates = Rates()
    rates.update(health(100, 1000), now=10.0)
    rates.update(health(150, 1600), now=12.0)
    assert (rates.events, rates.deliveries) == (25.0, 300.0)


def test_probes_that_follow_closely_change_no_rate() -> None:
    """A second probe within half a second leaves the rate as it is."""
    rates = Rates()
    rates.update(health(0), now=10.0)
    rates.update(health(10), now=11.0)
    rates.update(health(15), now=11.1)
    assert rates.events == 10.0


def test_totals_that_fell_give_no_negative_rate() -> None:
    """Totals that fell belong to a restarted gateway, whose rate begins at zero."""
    rates = Rates()
    rates.update(health(100), now=10.0)
    rates.update(health(3), now=12.0)
    assert rates.events == 0.0
    rates.update(health(5), now=13.0)
    assert rates.events == 2.0


def test_each_worker_has_the_lag_of_its_own_partitions() -> None:
    """The lag of a worker is the sum over the partitions that it owns."""
    assert share_lag(["a", "b"], {0: 2, 1: 3, 2: 2}, {0: "a", 1: "a", 2: "b"}) == {"a": 5, "b": 2}


def test_lag_without_an_owner_counts_for_the_first_worker() -> None:
    """The lag of a partition without a present owner counts for the first worker, so that the sum stays whole."""
    assert share_lag(["a", "b"], {0: 2, 1: 3}, {1: "gone"}) == {"a": 5, "b": 0}
    assert share_lag([], {0: 2}, {}) == {}
