"""A batch of events as the columns and rows that one transaction writes; pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from broker.events import MessageReceived, SessionClosed, Stored, UserJoined, UserLeft
from persistence.errors import DataError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(msgspec.Struct, frozen=True):
    """One event of one session, to be written; its seq belongs to `epoch`.

    `entry_id` is the id of its stream entry, `<milliseconds>-<number>`; without one, the event's own `ts` says when.
    """

    session_id: str
    event: Stored
    epoch: str = ""
    entry_id: bytes = b""


class MessageColumns(NamedTuple):
    """The messages of a batch, column by column, as `unnest` takes them; `place` is the index in the batch."""

    place: list[int]
    session_id: list[str]
    seq: list[int]
    id: list[str]
    user_id: list[str | None]
    user_name: list[str]
    text: list[str]
    timestamp: list[datetime]
    is_spirit: list[bool]


class UserChange(msgspec.Struct):
    """The changes of one user in a batch: the latest join, the latest leave, whether the user was removed."""

    name: str
    joined_at: datetime | None = None
    left_at: datetime | None = None
    is_removed: bool = False


class Rows(NamedTuple):
    """The rows that a batch changes. Users are keyed by (session id, user id); `closed` maps a session to its end.

    `furthest` holds the sequenced record of each session with the highest seq.
    """

    messages: MessageColumns
    users: dict[tuple[str, str], UserChange]
    closed: dict[str, datetime]
    furthest: dict[str, Record]


def rows_of(records: Sequence[Record]) -> Rows:
    """Sort a batch by table. Raises DataError for an event that no row can be made of."""
    rows = Rows(MessageColumns([], [], [], [], [], [], [], [], []), {}, {}, {})
    for index, record in enumerate(records):
        match record.event:
            case MessageReceived() as event:
                _add_message(rows.messages, index, record.session_id, event)
            case UserJoined() as event:
                change = _change(rows, record.session_id, event)
                change.joined_at = _latest(change.joined_at, _recorded_at(record))
            case UserLeft() as event:
                change = _change(rows, record.session_id, event)
                change.left_at = _latest(change.left_at, _recorded_at(record))
                change.is_removed = change.is_removed or event.data.reason == "removed"
            case SessionClosed():
                rows.closed.setdefault(record.session_id, _recorded_at(record))
        before = rows.furthest.get(record.session_id)
        if record.event.seq > (0 if before is None else before.event.seq):
            rows.furthest[record.session_id] = record
    return rows


def _add_message(columns: MessageColumns, index: int, session_id: str, event: MessageReceived) -> None:
    message = event.data
    columns.place.append(index)
    columns.session_id.append(session_id)
    columns.seq.append(event.seq)
    columns.id.append(message.id)
    columns.user_id.append(message.user_id)
    columns.user_name.append(message.user_name)
    columns.text.append(message.text)
    columns.timestamp.append(_moment(message.timestamp))
    columns.is_spirit.append(message.is_spirit)


def _change(rows: Rows, session_id: str, event: UserJoined | UserLeft) -> UserChange:
    user = event.data.user
    if user.id is None:
        raise DataError("user without id")
    change = rows.users.setdefault((session_id, user.id), UserChange(user.name))
    change.name = user.name
    return change


def _latest(known: datetime | None, moment: datetime) -> datetime:
    return moment if known is None else max(known, moment)


def _recorded_at(record: Record) -> datetime:
    """When Redis recorded the event.

    Entry ids of a stream only rise, whatever a clock does, so joins and leaves keep their order; the `ts` of two events
    are from the clocks of two gateways. The number of the entry, within its millisecond, counts as microseconds.
    """
    milliseconds, _, number = record.entry_id.partition(b"-")
    if not number:
        return _moment(record.event.ts)
    return _EPOCH + timedelta(milliseconds=int(milliseconds), microseconds=min(int(number), 999))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise DataError("timestamp is no RFC 3339 instant") from exc
    if moment.tzinfo is None:
        raise DataError("timestamp without a time zone")
    return moment
