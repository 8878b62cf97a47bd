"""Finding the bad ones in a batch that is refused as a whole."""

from collections.abc import Sequence
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.errors import DatabaseUnavailableError, DataError
from persistence.isolation import Refused, write_all_but_bad


class Store:
    """Takes numbers, refuses any batch with one of the bad, and leaves out the displaced."""

    def __init__(self, bad: set[int], displaced: frozenset[int] = frozenset()) -> None:
        self.bad = bad
        self.displaced = displaced
        self.stored: list[int] = []
        self.calls = 0

    async def write(self, items: Sequence[int]) -> list[Refused]:
        """All or nothing, as a transaction."""
        self.calls += 1
        found = sorted(self.bad.intersection(items))
        if found:
            raise DataError(f"bad {found[0]}")
        self.stored += [item for item in items if item not in self.displaced]
        return [Refused(place, "displaced") for place, item in enumerate(items) if item in self.displaced]


@given(count=st.integers(1, 200), data=st.data())
async def test_every_bad_item_is_found_and_every_other_is_written_once(count: int, data: st.DataObject) -> None:
    """Wherever the bad ones are, they come back with their reasons, and the rest is stored in order."""
    bad = data.draw(st.sets(st.integers(0, count - 1)))
    displaced = frozenset(data.draw(st.sets(st.integers(0, count - 1)))) - bad
    store = Store(bad, displaced)
    refused = await write_all_but_bad(range(count), store.write)
    assert dict(refused) == {item: f"bad {item}" for item in bad} | dict.fromkeys(displaced, "displaced")
    assert [one.place for one in refused] == sorted(bad | displaced)
    assert store.stored == [item for item in range(count) if item not in bad | displaced]


@given(count=st.integers(1, 1000), data=st.data())
async def test_one_bad_item_costs_a_logarithm_of_writes(count: int, data: st.DataObject) -> None:
    """A single bad item among n is found with at most 1 + 2·log2(n) writes."""
    store = Store({data.draw(st.integers(0, count - 1))})
    await write_all_but_bad(range(count), store.write)
    assert store.calls <= 1 + 2 * ceil(log2(count))


async def test_an_outage_blames_no_item() -> None:
    """When Postgres is away, no item is to blame; the error goes to the caller."""

    async def write(_: Sequence[int]) -> list[Refused]:
        raise DatabaseUnavailableError("away")

    with pytest.raises(DatabaseUnavailableError):
        await write_all_but_bad(range(4), write)
