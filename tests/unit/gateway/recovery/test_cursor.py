"""The cursor of a replay: which store is read next; every way through both stores is without gap or repeat."""

from collections.abc import Sequence

import pytest

from broker.sessions.event_log import Event, EventKind
from gateway.recovery.cursor import UNBOUNDED, Cursor, OutrunError

LIMIT = 4


def events(*seqs: int) -> list[Event]:
    """Events of the log."""
    return [Event(seq, EventKind.MESSAGE, "-", b"") for seq in seqs]


def page(log: Sequence[int], after: int) -> list[Event]:
    """A page of the log."""
    return events(*[seq for seq in log if seq > after][:LIMIT])


class Stores:
    """Both stores, as lists of seqs; messages have even seqs."""

    def __init__(self, log_first: int, last: int) -> None:
        self.last = last
        self.log = list(range(log_first, last + 1))

    def read(self, cursor: Cursor) -> list[int]:
        """Read one page, as gateway/recovery/reader.py does."""
        if cursor.history is None:
            return [event.seq for event in cursor.took_log(page(self.log, cursor.seq), LIMIT, known_seq=self.last)]
        after, before = cursor.history
        found = [seq for seq in range(after + 1, before) if seq % 2 == 0][:LIMIT]
        cursor.took_history(found, LIMIT)
        return found

    def trim(self, first: int) -> None:
        """Trim the log to this first seq."""
        self.log = [seq for seq in self.log if seq >= first]

    def publish(self, count: int) -> None:
        """Append events."""
        self.log += range(self.last + 1, self.last + 1 + count)
        self.last += count


def read_all(stores: Stores, cursor: Cursor) -> list[int]:
    """Read every page."""
    read: list[int] = []
    while cursor.has_more:
        read += stores.read(cursor)
    return read


@pytest.mark.parametrize("seq", [0, 7, 8, 17, 18])
def test_a_log_that_reaches_back_gives_every_event(seq: int) -> None:
    """While the log reaches back, every event comes from the log."""
    cursor = Cursor(seq, messages_until=20)
    assert read_all(Stores(1, 20), cursor) == list(range(seq + 1, 21))
    assert cursor.seq == 20
    assert cursor.history is None


@pytest.mark.parametrize("log_first", [2, 3, 9, 10, 19, 20, 21])
@pytest.mark.parametrize("seq", [0, 1, 2])
def test_messages_below_the_log_come_from_postgres(log_first: int, seq: int) -> None:
    """Below the log's first event the messages come from Postgres, from there on every event from the log."""
    stores = Stores(log_first, 20)
    expected = [*(event for event in range(seq + 1, log_first) if event % 2 == 0), *range(max(log_first, seq + 1), 21)]
    assert read_all(stores, Cursor(seq, messages_until=20)) == expected


def test_a_full_page_may_end_just_below_the_log() -> None:
    """A full page of messages may be the last one below the log."""
    cursor = Cursor(0, messages_until=20)
    stores = Stores(9, 20)
    assert stores.read(cursor) == []
    assert cursor.history == (0, 9)
    assert stores.read(cursor) == [2, 4, 6, 8]
    assert stores.read(cursor) == [9, 10, 11, 12]


def test_a_log_trimmed_during_the_replay_turns_to_postgres() -> None:
    """When the log is trimmed above the cursor, messages come from Postgres, up to `messages_until`."""
    stores = Stores(5, 20)
    cursor = Cursor(4, messages_until=20)
    assert stores.read(cursor) == [5, 6, 7, 8]
    stores.trim(15)
    assert read_all(stores, cursor) == [10, 12, 14, 15, 16, 17, 18, 19, 20]


def test_a_log_trimmed_above_the_welcome_raises() -> None:
    """Above the welcome messages alone are not enough, because joins and leaves would be missing."""
    stores = Stores(5, 20)
    cursor = Cursor(18, messages_until=20)
    stores.publish(10)
    stores.trim(25)
    assert stores.read(cursor) == []
    assert stores.read(cursor) == [20]
    with pytest.raises(OutrunError):
        read_all(stores, cursor)


@pytest.mark.parametrize("log", [[7, 8, 9], [], [6]])
def test_a_cursor_without_history_needs_every_event(log: list[int]) -> None:
    """A cursor without `messages_until` raises as soon as the log lacks an event."""
    cursor = Cursor(4)
    with pytest.raises(OutrunError):
        cursor.took_log(events(*log), LIMIT, known_seq=9)


def test_events_after_a_hole_wait_for_postgres() -> None:
    """Events after a hole in the log wait until Postgres has filled the hole."""
    cursor = Cursor(4, messages_until=8)
    assert [event.seq for event in cursor.took_log(events(5, 7, 8), LIMIT)] == [5]
    assert cursor.has_more
    assert cursor.took_log(events(7, 8), LIMIT) == []
    assert cursor.history == (5, 7)


def test_an_empty_log_ends_unless_a_seq_was_known() -> None:
    """A log without newer events is at its end, unless a newer seq is known."""
    cursor = Cursor(8, messages_until=8)
    assert cursor.took_log([], LIMIT, known_seq=8) == []
    assert not cursor.has_more
    with pytest.raises(OutrunError):
        cursor.took_log([], LIMIT, known_seq=9)


def test_messages_alone_are_enough_in_summary_sessions() -> None:
    """Where only messages are sequenced, the log may be far ahead or empty."""
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
