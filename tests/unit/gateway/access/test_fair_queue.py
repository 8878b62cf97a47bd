"""The fair queue: turns, bounds, and who makes room for whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.fair_queue import FairQueue, QueueFullError


def popped(queue: FairQueue[str]) -> list[str]:
    """Everything in the queue, in the order in which it is taken."""
    return list(iter(queue.pop, None))


def filled(*items: str, per_key: int = 10, total: int = 100) -> FairQueue[str]:
    """A queue of these items; the first letter of an item is its key."""
    queue = FairQueue[str](per_key=per_key, total=total)
    for item in items:
        assert queue.push(item[0], item) is None
    return queue


def test_keys_take_turns() -> None:
    """A key that queued many items first does not keep the others waiting."""
    assert popped(filled("a1", "a2", "a3", "a4", "b1", "c1", "b2")) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_a_key_has_a_bound() -> None:
    """Beyond its bound a key's item is refused; other keys still have room."""
    queue = filled("a1", "a2", per_key=2)
    with pytest.raises(QueueFullError):
        queue.push("a", "a3")
    assert queue.push("b", "b1") is None
    assert popped(queue) == ["a1", "b1", "a2"]
    assert queue.push("a", "a3") is None


def test_a_full_queue_makes_room_at_the_expense_of_the_longest() -> None:
    """The last item of the key with most items is displaced, as long as that makes the queue fairer."""
    queue = filled("a1", "a2", "a3", "b1", total=4)
    assert queue.push("c", "c1") == "a3"
    with pytest.raises(QueueFullError):
        queue.push("c", "c2")
    assert len(queue) == 4
    assert popped(queue) == ["a1", "b1", "c1", "a2"]


def test_draining_empties_the_queue() -> None:
    """Everything comes out, and there is room again."""
    queue = filled("a1", "b1", "a2", total=3)
    assert sorted(queue.drain()) == ["a1", "a2", "b1"]
    assert (len(queue), queue.pop(), queue.push("a", "a3")) == (0, None, None)


@given(st.lists(st.sampled_from("abcde"), max_size=40), st.integers(1, 5), st.integers(1, 12))
def test_between_two_items_of_a_key_every_other_waiting_key_has_a_turn(
    keys: list[str], per_key: int, total: int
) -> None:
    """No key is taken twice while another waits that was not taken in between; the bounds hold."""
    queue = FairQueue[str](per_key=per_key, total=total)
    for number, key in enumerate(keys):
        try:
            queue.push(key, f"{key}{number}")
        except QueueFullError:
            continue
    assert len(queue) <= total
    order = [item[0] for item in popped(queue)]
    assert all(order.count(key) <= per_key for key in order)
    for place, key in enumerate(order):
        if key in order[place + 1 :]:
            following = order.index(key, place + 1)
            assert set(order[following:]) <= {key, *order[place:following]}
