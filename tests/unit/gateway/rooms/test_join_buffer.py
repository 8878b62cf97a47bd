"""What happens during a join."""

from broker.sessions.event_log import Event, EventKind
from gateway.protocol import close_codes
from gateway.rooms.join_buffer import JoinBuffer, ended_by
from tests.unit.gateway.rooms.memberships import member_of, room_of


def event(seq: int, kind: EventKind = EventKind.MESSAGE, user_id: str = "ana") -> Event:
    """An event."""
    return Event(seq, kind, user_id, b"%d" % seq)


def test_events_since_a_seq_come_in_order() -> None:
    """The events after a seq come in order, as far as they are kept."""
    buffer = JoinBuffer(2)
    buffer.recent.extend(event(seq) for seq in (1, 2, 3))
    assert buffer.since(2) == [event(3)]
    assert buffer.since(0) == [event(2), event(3)]


def test_a_member_ends_by_its_connection_or_its_user() -> None:
    """News names a connection or a user."""
    buffer = JoinBuffer()
    buffer.gone["c-ana"] = close_codes.REPLACED
    buffer.gone["ben"] = close_codes.REMOVED
    endings = [buffer.ending_of(member_of(room_of(), name)) for name in ("ana", "ben", "cem")]
    assert endings == [close_codes.REPLACED, close_codes.REMOVED, None]


def test_only_a_close_or_the_own_removal_ends_a_member() -> None:
    """Among the events only a close or the user's own removal ends the connection."""
    removal = event(2, EventKind.USER_REMOVED, "ben")
    assert ended_by([event(1), removal], "ana") is None
    assert ended_by([event(1), removal], "ben") is close_codes.REMOVED
    assert ended_by([event(3, EventKind.SESSION_CLOSED)], "ana") is close_codes.SESSION_CLOSED
