import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load import marks
from bench.load.dialects import DIALECTS, Seat, event
from bench.load.frames import text
from bench.load.marks import CheckFailedError


@given(st.lists(st.integers(1, 50), max_size=200))
def test_marks_are_found_however_the_bytes_are_split(cuts: list[int]) -> None:
    """Any split of the stream gives the same marks, once and in order."""
    stream = b"".join(text(marks.text(number).encode()) for number in range(8))
    found: list[bytes] = []
    carry, start = b"", 0
    for size in [*cuts, len(stream)]:
        data = carry + stream[start : start + size]
        start += size
        found += marks.NUMBERS.findall(data)
        carry = marks.unfinished(data)
    assert [int(mark) for mark in found] == list(range(8))


def test_only_exactly_the_next_marks_move_the_position() -> None:
    """Exactly the next marks are right."""
    assert marks.check([b"0000003", b"0000004"], 3) == 5


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ([b"0000004"], "event 3 was lost"),
        ([b"0000003", b"0000003"], "event 3 came again"),
        ([b"0000003", b"0000005", b"0000004"], "event 4 was lost, or overtaken"),
    ],
)
def test_a_wrong_mark_fails_the_run(found: list[bytes], problem: str) -> None:
    """A lost, repeated or overtaken event is told with its number."""
    with pytest.raises(CheckFailedError, match=problem):
        marks.check(found, 3)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_dialect_carries_the_mark(name: str) -> None:
    """The publish frame of every dialect contains the mark unchanged."""
    published = DIALECTS[name].publish(Seat(1, "room", "user"), 7, marks.text(7))
    assert marks.NUMBERS.findall(published) == [b"0000007"]


def test_whole_events_are_as_large_as_the_product_s() -> None:
    """Peers that relay whole events relay as many bytes."""
    assert 390 < len(event(Seat(1, "room", "user-0"), 7, marks.text(7))) < 450
