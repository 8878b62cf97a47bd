"""A member of a room: its user, its standing, and the carrier that brings its events to the client."""

from enum import Enum
from typing import Protocol

from broker.events import User
from gateway.protocol.close_codes import Ending


class Standing(Enum):
    """Where a member stands in its room. Only the room changes this."""

    JOINING = "joining"
    """The member has no seat in the room yet."""
    BEHIND = "behind"
    """The member has a seat, and lacks events that a recovery reads."""
    AHEAD = "ahead"
    """The member is ahead of the room: it gets events again once the room has reached the member's `position`."""
    LIVE = "live"
    """The member gets every event."""
    GONE = "gone"
    """The member has left the room."""


class Carrier(Protocol):
    """Carries a member's events to its client, and the client's commands back: a WebSocket connection."""

    @property
    def unsent_bytes(self) -> int:
        """How many bytes wait in the buffer until the client reads."""

    def write(self, data: bytes) -> None:
        """Send frames now, without waiting. Never ends the member before it returns."""

    def answer(self, data: bytes) -> None:
        """Send the frames of an answer, which are not held back while the client lacks events."""

    def end(self, ending: Ending) -> None:
        """End the member, and tell the client why."""

    def pause_reading(self) -> None:
        """Stop reading commands."""

    def resume_reading(self) -> None:
        """Read commands again."""

    def limited(self, what: str, wait_seconds: float) -> None:
        """The client was over the limit `what`, and was told how long to wait; ends a client that goes on for long."""


class Member:
    """One connection of a user in a session. `id` is the connection's id in Redis.

    `position` is the seq of the member's last event; valid only while the member is behind or ahead.
    """

    __slots__ = ("carrier", "id", "position", "standing", "user", "wants_batches", "wants_persisted")

    def __init__(self, connection_id: str, user: User, carrier: Carrier, *, wants_batches: bool = False) -> None:
        self.id = connection_id
        self.user = user
        self.carrier = carrier
        self.standing = Standing.JOINING
        self.position = 0
        self.wants_batches = wants_batches
        self.wants_persisted = False

    @property
    def user_id(self) -> str:
        """The id of the member's user."""
        assert self.user.id is not None
        return self.user.id

    @property
    def is_gone(self) -> bool:
        """Whether the member has left the room."""
        return self.standing is Standing.GONE
