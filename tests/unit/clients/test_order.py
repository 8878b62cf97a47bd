"""Order, holes and repetitions, for any stream of events; and the bounds of what is remembered."""

from hypothesis import given
from hypothesis import strategies as st
from seance_client.events import Position, Resumed, SessionInfo, User, Welcome
from seance_client.order import Order, Place


def welcome(seq: int, epoch: str = "e", resumed: Resumed | None = None) -> Welcome:
    return Welcome(SessionInfo("s"), User("u", "Ana"), seq, epoch, "t", resumed=resumed or Resumed())


@given(st.lists(st.integers(min_value=1, max_value=20), max_size=60))
def test_accepts_each_seq_once_and_in_order(stream: list[int]) -> None:
    """Whatever comes, what is accepted rises by exactly one; only what is beyond the next is a hole."""
    order = Order()
    order.welcomed(welcome(0))
    accepted: list[int] = []
    for seq in stream:
        place = order.place(seq)
        expected = len(accepted) + 1
        assert place is (Place.NEXT if seq == expected else Place.KNOWN if seq < expected else Place.BEYOND_A_HOLE)
        if place is Place.NEXT:
            accepted.append(seq)
    assert accepted == list(range(1, len(accepted) + 1))
    assert order.position == Position("e", len(accepted))


def test_remembers_a_bounded_number_of_messages() -> None:
    """A message of an earlier epoch is known again, unless so many came since that it was forgotten."""
    order = Order()
    order.welcomed(welcome(1))
    assert all(order.is_new(f"{number}") for number in range(3000))
    assert order.is_new("2999")
    order.welcomed(welcome(9, "f"))
    assert not order.is_new("2999")
    assert order.is_new("0")
    assert len(order._ids) <= 2048
