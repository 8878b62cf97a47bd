"""Rates and shares of what the monitors see."""

from cluster.supervisor.probes import Health, Rates, share_lag


def health(events: int, deliveries: int = 0) -> Health:
    return Health(sockets=0, sessions=0, events_total=events, deliveries_total=deliveries)


def test_rates_are_per_second() -> None:
    """The rate is what the totals grew by, over the time between two polls."""
    rates = Rates()
    rates.update(health(100, 1000), now=10.0)
    rates.update(health(150, 1600), now=12.0)
    assert (rates.events, rates.deliveries) == (25.0, 300.0)


def test_polls_that_follow_closely_change_no_rate() -> None:
    """Two polls within a moment don't make the rate jump."""
    rates = Rates()
    rates.update(health(0), now=10.0)
    rates.update(health(10), now=11.0)
    rates.update(health(15), now=11.1)
    assert rates.events == 10.0


def test_a_new_process_starts_from_nothing() -> None:
    """Totals that fell belong to a restarted gateway: no negative rate."""
    rates = Rates()
    rates.update(health(100), now=10.0)
    rates.update(health(3), now=12.0)
    assert rates.events == 0.0
    rates.update(health(5), now=13.0)
    assert rates.events == 2.0


def test_lag_is_shared_by_ownership() -> None:
    """Each worker has the lag of the partitions it owns."""
    assert share_lag(["a", "b"], {0: 2, 1: 3, 2: 2}, {0: "a", 1: "a", 2: "b"}) == {"a": 5, "b": 2}


def test_lag_of_nobody_is_not_lost() -> None:
    """Partitions without an owner, or whose owner is gone, count for the first worker."""
    assert share_lag(["a", "b"], {0: 2, 1: 3}, {1: "gone"}) == {"a": 5, "b": 0}
    assert share_lag([], {0: 2}, {}) == {}
