"""The buckets that one gateway keeps."""

import pytest

from gateway.limits.own_buckets import OwnBuckets
from gateway.limits.rate import UNLIMITED, Rate

NOW = 1000.0


def spent(buckets: OwnBuckets, subject: str, now: float) -> int:
    """How many tokens the subject could spend at that moment, up to 100."""
    for count in range(100):
        if buckets.wait(subject, now) > 0:
            return count
        buckets.spend(subject, now)
    return 100


def test_a_subject_has_its_burst_and_then_its_rate() -> None:
    """After the burst a token comes at the rate; another subject has a bucket of its own."""
    buckets = OwnBuckets(Rate(2, 5))
    assert spent(buckets, "a", NOW) == 5
    assert buckets.wait("a", NOW) == pytest.approx(0.5, abs=1e-5)
    assert spent(buckets, "a", NOW + 1.5) == 3
    assert spent(buckets, "b", NOW) == 5


def test_a_subject_that_is_held_has_no_token_for_that_long() -> None:
    """What Redis says about all gateways holds here too; afterwards there is one token."""
    buckets = OwnBuckets(Rate(2, 5))
    buckets.hold("a", 3.0, NOW)
    assert buckets.wait("a", NOW) == pytest.approx(3.0, abs=1e-5)
    assert spent(buckets, "a", NOW + 3.0) == 1


def test_full_buckets_are_forgotten() -> None:
    """A subject whose bucket is full again takes no memory once somebody else spends."""
    buckets = OwnBuckets(Rate(2, 5))
    for number in range(50):
        buckets.spend(str(number), NOW)
    assert len(buckets) == 50
    buckets.spend("a", NOW + 1)
    assert len(buckets) == 1


def test_the_number_of_buckets_is_bounded() -> None:
    """The subject that spent longest ago is forgotten, not the newest."""
    buckets = OwnBuckets(Rate(2, 5), max_kept=10)
    for number in range(50):
        assert spent(buckets, str(number), NOW) == 5
    assert len(buckets) == 10
    assert spent(buckets, "49", NOW) == 0
    assert spent(buckets, "0", NOW) == 5


def test_without_a_limit_nothing_is_kept() -> None:
    """A rate of 0 never makes anybody wait."""
    buckets = OwnBuckets(UNLIMITED)
    assert spent(buckets, "a", NOW) == 100
    buckets.hold("a", 3.0, NOW)
    assert (buckets.wait("a", NOW), len(buckets)) == (0.0, 0)
