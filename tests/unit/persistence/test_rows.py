"""A batch of events as rows, pure."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from broker.events import Empty, SessionClosed, Stored
from persistence.errors import DataError
from persistence.rows import Record, UserChange, rows_of
from tests.stream_fixtures import joined, left, message

SESSION = "5b0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a01"
OTHER = "5b0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a02"
ANA = "7c0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a03"


def at(second: int) -> datetime:
    """A moment of the minute in which everything here happens."""
    return datetime(2026, 11, 22, 21, 5, second, tzinfo=UTC)


def test_messages_become_columns_with_their_places() -> None:
    """Every message keeps its place in the batch, so that a refused one can be named."""
    batch = [
        Record(SESSION, joined(ANA, "Ana", at(0))),
        Record(SESSION, message(SESSION, 2, text="hi", user_id=ANA, moment=at(1))),
        Record(OTHER, SessionClosed("2026-11-22T21:05:00.000Z", Empty())),
        Record(OTHER, message(OTHER, 7, text="ho")),
    ]
    columns = rows_of(batch).messages
    assert columns.place == [1, 3]
    assert columns.session_id == [SESSION, OTHER]
    assert columns.seq == [2, 7]
    assert columns.user_id == [ANA, None]
    assert columns.text == ["hi", "ho"]
    assert columns.timestamp[0] == at(1)


def test_users_are_folded_to_the_latest_join_and_leave() -> None:
    """Several changes of one user in a batch become one row."""
    batch = [
        Record(SESSION, joined(ANA, "Ana", at(1))),
        Record(SESSION, left(ANA, "Ana", at(2), "removed")),
        Record(SESSION, left(ANA, "Ana", at(4))),
        Record(SESSION, joined(ANA, "Anna", at(3))),
        Record(OTHER, joined(ANA, "Ana", at(5))),
    ]
    assert rows_of(batch).users == {
        (SESSION, ANA): UserChange("Anna", at(3), at(4), is_removed=True),
        (OTHER, ANA): UserChange("Ana", at(5)),
    }


def test_closed_sessions_are_collected() -> None:
    """A session that was closed is named once, with when."""
    closed = Record(SESSION, SessionClosed("2026-11-22T21:05:00.000Z", Empty(), 3))
    assert rows_of([closed, closed]).closed == {SESSION: datetime(2026, 11, 22, 21, 5, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [("soon", "timestamp is no RFC 3339 instant"), ("2026-11-22T21:05:00.000", "timestamp without a time zone")],
)
def test_a_message_without_a_real_instant_is_bad_data(timestamp: str, reason: str) -> None:
    """A timestamp that Postgres would have to guess is refused."""
    event = message(SESSION, 1)
    event = msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, timestamp=timestamp))
    with pytest.raises(DataError) as caught:
        rows_of([Record(SESSION, event)])
    assert caught.value.reason == reason


def test_a_user_without_an_id_is_bad_data() -> None:
    """A user without an id can't be stored."""
    with pytest.raises(DataError, match="user without id"):
        rows_of([Record(SESSION, joined(None, "Ana", at(1)))])


@pytest.mark.parametrize("is_back", [True, False])
def test_joins_and_leaves_are_ordered_by_redis_not_by_gateways(is_back: bool) -> None:
    """The order of the stream decides who is there, whatever the clocks of two gateways say; a millisecond has many."""
    events: list[Stored] = [joined(ANA, "Ana", at(0)), left(ANA, "Ana", at(50)), joined(ANA, "Ana", at(10))]
    ids = (b"1795381500000-7", b"1795381500500-0", b"1795381500500-1")
    batch = [Record(SESSION, event, "e", entry_id) for event, entry_id in zip(events, ids, strict=True)]
    change = rows_of(batch if is_back else batch[:2]).users[SESSION, ANA]
    assert change.joined_at is not None
    assert change.left_at is not None
    assert (change.joined_at > change.left_at) == is_back
    assert change.left_at == datetime(2026, 11, 22, 21, 5, 0, 500_000, tzinfo=UTC)


def test_a_close_is_dated_by_redis() -> None:
    """The leaves that a close stands for have the same clock as the joins."""
    closed = Record(SESSION, SessionClosed("2027-01-01T00:00:00.000Z", Empty()), "e", b"1795381500000-7")
    assert rows_of([closed]).closed == {SESSION: at(0) + timedelta(microseconds=7)}
