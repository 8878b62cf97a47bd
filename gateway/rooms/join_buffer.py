"""The events of a room during joins, kept so that a new member misses none of them. Pure."""

from collections import deque
from collections.abc import Iterable

from broker.sessions.event_log import Event, EventKind
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.rooms.member import Member

RECENT_EVENTS = 4096


class JoinBuffer:
    """The last events (`recent`), and the members that have to end (`gone`, by connection id or user id).

    When `was_interrupted`, news of a replacement may be lost: of two members of one user either may be the newer one.
    """

    __slots__ = ("gone", "recent", "was_interrupted")

    def __init__(self, max_events: int = RECENT_EVENTS) -> None:
        self.recent: deque[Event] = deque(maxlen=max_events)
        self.gone: dict[str, Ending] = {}
        self.was_interrupted = False

    def since(self, seq: int) -> list[Event]:
        """The recent events after `seq`, in order; the first are missing when there were more than `max_events`."""
        late: list[Event] = []
        for event in reversed(self.recent):
            if event.seq <= seq:
                break
            late.append(event)
        late.reverse()
        return late

    def ending_of(self, member: Member) -> Ending | None:
        """The ending of a new member that was replaced or removed during its join; None when the member stays."""
        return self.gone.get(member.id) or self.gone.get(member.user_id)


def ended_by(events: Iterable[Event], user_id: str) -> Ending | None:
    """The ending of this user's connection after these events; None when the connection goes on."""
    for event in events:
        if event.kind is EventKind.SESSION_CLOSED:
            return close_codes.SESSION_CLOSED
        if event.kind is EventKind.USER_REMOVED and event.user_id == user_id:
            return close_codes.REMOVED
    return None
