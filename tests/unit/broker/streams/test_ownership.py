"""The plan of fair shares, pure."""

from hypothesis import given
from hypothesis import strategies as st

from broker.streams.ownership import plan

WORKERS = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=20)


@given(partitions=st.integers(1, 1024), workers=WORKERS)
def test_every_partition_belongs_to_exactly_one_worker(partitions: int, workers: set[str]) -> None:
    """With the same workers alive, the shares are disjoint and together every partition."""
    shares = [partition for worker in workers for partition in plan(partitions, workers, worker)]
    assert sorted(shares) == list(range(partitions))


@given(partitions=st.integers(1, 1024), workers=WORKERS)
def test_shares_differ_by_one_partition_at_most(partitions: int, workers: set[str]) -> None:
    """The largest share has at most one partition more than the smallest."""
    sizes = [len(plan(partitions, workers, worker)) for worker in workers]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) == -(-partitions // len(workers))


def test_plan_does_not_depend_on_the_order_of_the_workers() -> None:
    """Two workers that list the living in different orders come to the same plan."""
    assert plan(16, ["b", "a", "c"], "b") == plan(16, ["c", "b", "a"], "b") == range(5, 10)
