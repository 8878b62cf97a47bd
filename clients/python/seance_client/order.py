"""Keeps the order of a session's events: drops what came before, finds holes, knows from where on to resume. Pure."""

from enum import Enum

from seance_client.events import Position, Welcome

_REMEMBERED_IDS = 2048


class Place(Enum):
    """Where an event stands among those that came before."""

    NEXT = "next"
    KNOWN = "known"
    BEYOND_A_HOLE = "beyond a hole"


class Order:
    """Follows one session over connections and epochs; `position` is the last event received."""

    def __init__(self, position: Position | None = None) -> None:
        self.position = position
        # How many more events may skip: what comes from history are messages only.
        self._may_skip = 0
        # Message id → the epoch in which it came.
        self._ids: dict[str, str] = {}

    def welcomed(self, welcome: Welcome) -> bool:
        """A connection begins; returns whether everything missed follows, without a hole.

        A gateway that claims to have recovered, but stands elsewhere than where we asked it to begin, has not.
        """
        resumed = welcome.resumed
        has_recovered = resumed.recovered and welcome.position == self.position
        # The first live event may skip too: what came last in the history need not have been a message.
        self._may_skip = resumed.missed + 1 if has_recovered and resumed.source == "history" else 0
        self.position = welcome.position
        return has_recovered

    def place(self, seq: int) -> Place:
        """Where this event stands; when it is the next one, the position moves on."""
        position = self._position()
        if seq <= position.seq:
            return Place.KNOWN
        if seq != position.seq + 1 and not self._may_skip:
            return Place.BEYOND_A_HOLE
        self._may_skip = max(self._may_skip - 1, 0)
        self.position = Position(position.epoch, seq)
        return Place.NEXT

    def skipped(self, first: int, last: int) -> Place:
        """The gateway says that these events can't be delivered; the position moves past them."""
        position = self._position()
        if last <= position.seq:
            return Place.KNOWN
        if first > position.seq + 1 and not self._may_skip:
            return Place.BEYOND_A_HOLE
        self.position = Position(position.epoch, last)
        return Place.NEXT

    def is_new(self, message_id: str) -> bool:
        """Whether this message did not come in an earlier epoch already, under another seq. Remembers the newest 2048.

        Within an epoch `seq` alone decides; a service may give two messages the same id on purpose.
        """
        epoch = self._position().epoch
        if self._ids.setdefault(message_id, epoch) != epoch:
            return False
        if len(self._ids) > _REMEMBERED_IDS:
            del self._ids[next(iter(self._ids))]
        return True

    def _position(self) -> Position:
        if self.position is None:
            raise AssertionError("events are judged only after a welcome")
        return self.position
