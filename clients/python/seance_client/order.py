"""Keeps the order of a session's events: drops repeated events, finds gaps, knows where to resume. Pure."""

import math
from enum import Enum

from seance_client.events import Position, Welcome

_REMEMBERED_IDS = 2048


class Place(Enum):
    """Where an event stands relative to the last one."""

    NEXT = "next"
    KNOWN = "known"
    BEYOND_A_HOLE = "beyond a hole"


class Order:
    """Follows one session over connections and epochs; `position` is the last event received."""

    def __init__(self, position: Position | None = None) -> None:
        self.position = position
        # How many more events may skip a seq: a replay from history has messages only.
        self._may_skip: float = 0
        # Message id → the epoch in which it came.
        self._ids: dict[str, str] = {}

    def welcomed(self, welcome: Welcome) -> bool:
        """A connection begins; returns whether all missed events follow, without a gap.

        A gateway that says `recovered` but starts at another position than the requested one has not recovered.
        """
        resumed = welcome.resumed
        has_recovered = resumed.recovered and welcome.position == self.position
        # The first live event may skip a seq too: the last event before it need not have been a message.
        missed = math.inf if resumed.missed is None else resumed.missed
        self._may_skip = missed + 1 if has_recovered and resumed.source == "history" else 0
        self.position = welcome.position
        return has_recovered

    def place(self, seq: int) -> Place:
        """Where this event stands; the next event in order advances the position."""
        position = self._position()
        if seq <= position.seq:
            return Place.KNOWN
        if seq != position.seq + 1 and not self._may_skip:
            return Place.BEYOND_A_HOLE
        self._may_skip = max(self._may_skip - 1, 0)
        self.position = Position(position.epoch, seq)
        return Place.NEXT

    def skipped(self, first: int, last: int) -> Place:
        """The gateway can't deliver these events; the position moves past them."""
        position = self._position()
        if last <= position.seq:
            return Place.KNOWN
        if first > position.seq + 1 and not self._may_skip:
            return Place.BEYOND_A_HOLE
        self.position = Position(position.epoch, last)
        return Place.NEXT

    def is_new(self, message_id: str) -> bool:
        """Whether this message is new: no earlier epoch had it under another seq. Remembers the newest 2048.

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
