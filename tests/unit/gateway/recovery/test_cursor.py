"""The cursor of a replay: which store is read next, and that every way through both is without gap or repeat."""

from collections.abc import Sequence

import pytest

from broker.sessions.event_log import Event, EventKind
from gateway.recovery.cursor import UNBOUNDED, Cursor, OutrunError

LIMIT = 4


def events(*seqs: int) -> list[Event]:
    """Events of the log."""
    return [Event(seq, EventKind.MESSAGE, "-", b"") for seq in seqs]


def page(log: Sequence[int], after: int) -> list[Event]:
    """What the log answers."""
    return events(*[seq for seq in log if seq > after][:LIMIT])


class Stores:
    """Both stores, as lists of seqs; messages have even ones."""

    def __init__(self, log_first: int, last: int) -> None:
        self.last = last
        self.log = list(range(log_first, last + 1))

    def read(self, cursor: Cursor) -> list[int]:
        """One page, as gateway/recovery/reader.py reads it."""
        if cursor.history is None:
            return [event.seq for event in cursor.took_log(page(self.log, cursor.seq), LIMIT, known_seq=self.last)]
        after, before = cursor.history
        found = [seq for seq in range(after + 1, before) if seq % 2 == 0][:LIMIT]
        cursor.took_history(found, LIMIT)
        return found

    def trim(self, first: int) -> None:
        """The log begins here from now on."""
        self.log = [seq for seq in self.log if seq >= first]

    def publish(self, count: int) -> None:
        """More events."""
        self.log += range(self.last + 1, self.last + 1 + count)
        self.last += count


def read_all(stores: Stores, cursor: Cursor) -> list[int]:
    """Everything, page by page."""
    read: list[int] = []
    while cursor.has_more:
        read += stores.read(cursor)
    return read


@pytest.mark.parametrize("seq", [0, 7, 8, 17, 18])
def test_log_alone(seq: int) -> None:
    """While the log reaches back, every event comes from it."""
    cursor = Cursor(seq, messages_until=20)
    assert read_all(Stores(1, 20), cursor) == list(range(seq + 1, 21))
    assert cursor.seq == 20
    assert cursor.history is None


@pytest.mark.parametrize("log_first", [2, 3, 9, 10, 19, 20, 21])
@pytest.mark.parametrize("seq", [0, 1, 2])
def test_the_joint(log_first: int, seq: int) -> None:
    """Below the log's first event the messages come from Postgres, from there on everything from the log."""
    stores = Stores(log_first, 20)
    expected = [*(event for event in range(seq + 1, log_first) if event % 2 == 0), *range(max(log_first, seq + 1), 21)]
    assert read_all(stores, Cursor(seq, messages_until=20)) == expected


def test_a_page_that_ends_at_the_joint() -> None:
    """A full page of messages may be the last one below the log."""
    cursor = Cursor(0, messages_until=20)
    stores = Stores(9, 20)
    assert stores.read(cursor) == []
    assert cursor.history == (0, 9)
    assert stores.read(cursor) == [2, 4, 6, 8]
    assert stores.read(cursor) == [9, 10, 11, 12]


def test_trimmed_while_it_is_read() -> None:
    """When the log is trimmed above the cursor, the messages between come from Postgres, as far as these will do."""
    stores = Stores(5, 20)
    cursor = Cursor(4, messages_until=20)
    assert stores.read(cursor) == [5, 6, 7, 8]
    stores.trim(15)
    assert read_all(stores, cursor) == [10, 12, 14, 15, 16, 17, 18, 19, 20]


def test_trimmed_above_the_welcome() -> None:
    """Above the welcome messages alone will not do, since who joined and left there would be missing."""
    stores = Stores(5, 20)
    cursor = Cursor(18, messages_until=20)
    stores.publish(10)
    stores.trim(25)
    assert stores.read(cursor) == []
    assert stores.read(cursor) == [20]
    with pytest.raises(OutrunError):
        read_all(stores, cursor)


@pytest.mark.parametrize("log", [[7, 8, 9], [], [6]])
def test_log_only(log: list[int]) -> None:
    """A cursor that needs the log's events does without none of them."""
    cursor = Cursor(4)
    with pytest.raises(OutrunError):
        cursor.took_log(events(*log), LIMIT, known_seq=9)


def test_a_hole_in_the_log() -> None:
    """What follows a hole waits until the hole is filled from Postgres."""
    cursor = Cursor(4, messages_until=8)
    assert [event.seq for event in cursor.took_log(events(5, 7, 8), LIMIT)] == [5]
    assert cursor.has_more
    assert cursor.took_log(events(7, 8), LIMIT) == []
    assert cursor.history == (5, 7)


def test_an_empty_log_that_held_everything() -> None:
    """A log without newer events is at its end; one that lost events that were given is not."""
    cursor = Cursor(8, messages_until=8)
    assert cursor.took_log([], LIMIT, known_seq=8) == []
    assert not cursor.has_more
    with pytest.raises(OutrunError):
        cursor.took_log([], LIMIT, known_seq=9)


def test_messages_will_do() -> None:
    """Where only messages are sequenced, the log may be as far ahead as it likes, or be gone."""
    stores = Stores(5, 20)
    cursor = Cursor(18, messages_until=UNBOUNDED)
    stores.publish(10)
    stores.trim(25)
    assert read_all(stores, cursor) == [20, 22, 24, 25, 26, 27, 28, 29, 30]
    stores.publish(4)
    stores.trim(99)
    cursor.has_more = True
    assert read_all(stores, cursor) == [32, 34]
    assert cursor.seq == 34
