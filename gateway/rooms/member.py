"""A member as its room sees it: who it is, where it stands, and what carries its events to the client."""

from enum import Enum
from typing import Protocol

from broker.events import User
from gateway.protocol.close_codes import Ending


class Standing(Enum):
    """Where a member stands in its room. Only the room changes this."""

    JOINING = "joining"
    """It has no seat in the room yet."""
    BEHIND = "behind"
    """It has a seat, and lacks events that a recovery reads."""
    AHEAD = "ahead"
    """It has events that the room has not heard yet; the room admits it when it reaches `position`."""
    LIVE = "live"
    """It gets every event."""
    GONE = "gone"
    """It gets nothing more."""


class Carrier(Protocol):
    """What carries a member's events to its client, and the client's commands back."""

    @property
    def unsent_bytes(self) -> int:
        """How many bytes wait until the client reads."""

    def write(self, data: bytes) -> None:
        """Send frames now, without waiting. Never ends the member before it returns."""

    def answer(self, data: bytes) -> None:
        """Send the frames of an answer, which are not held back while the client lacks events."""

    def end(self, ending: Ending) -> None:
        """End the member, and tell the client why."""

    def pause_reading(self) -> None:
        """Read no more commands for now."""

    def resume_reading(self) -> None:
        """Read commands again."""


class Member:
    """One connection of a user in a session. `id` names the connection in Redis; `position` is the last seq it has.

    `position` holds while the member is behind or ahead.
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
        """Whose connection it is."""
        assert self.user.id is not None
        return self.user.id

    @property
    def is_gone(self) -> bool:
        """Whether the member gets nothing more."""
        return self.standing is Standing.GONE
