"""What happens in a room while joins are under way, so that whoever comes misses none of it."""

from collections import deque
from collections.abc import Iterable

from broker.sessions.event_log import Event
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.rooms.outbox import Member

RECENT_EVENTS = 4096


class JoinBuffer:
    """The last events (`recent`), and who has to go (`gone`, by connection or user id)."""

    __slots__ = ("gone", "recent")

    def __init__(self) -> None:
        self.recent: deque[Event] = deque(maxlen=RECENT_EVENTS)
        self.gone: dict[str, Ending] = {}

    def since(self, seq: int) -> list[Event]:
        """The recent events after `seq`, in order; fewer when there were too many to keep."""
        late: list[Event] = []
        for event in reversed(self.recent):
            if event.seq <= seq:
                break
            late.append(event)
        late.reverse()
        return late

    def ending_of(self, member: Member) -> Ending | None:
        """How the member ends that only comes now, if it does."""
        return self.gone.get(member.id) or self.gone.get(member.user_id)


def ended_by(late: Iterable[Event], user_id: str) -> Ending | None:
    """How the connection of a user ends to whom these events come late, if it does."""
    for event in late:
        if event.kind == b"c":
            return close_codes.SESSION_CLOSED
        if event.kind == b"r" and event.subject.decode() == user_id:
            return close_codes.REMOVED
    return None
