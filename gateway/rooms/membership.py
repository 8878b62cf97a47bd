"""A user's place in a room, apart from what carries it: today a WebSocket of its own."""

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from broker.events import User
from gateway.protocol.close_codes import Ending

if TYPE_CHECKING:  # a member and its room hold each other
    from gateway.rooms.room import Room


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
    """What carries a membership to its client."""

    @property
    def unsent_bytes(self) -> int:
        """How many bytes wait until the client reads."""

    def write(self, data: bytes) -> None:
        """Send frames now, without waiting. Never ends the membership before it returns."""

    def answer(self, data: bytes) -> None:
        """Send the frames of an answer, which are not held back while the client lacks events."""

    def end(self, ending: Ending) -> None:
        """End the membership, and tell the client why."""

    def pause_reading(self) -> None:
        """Read no more commands for now."""

    def resume_reading(self) -> None:
        """Read commands again."""


class Recovery(Protocol):
    """What brings a member up to the live events."""

    def pause(self) -> None:
        """The carrier's buffer is full."""

    def resume(self) -> None:
        """The carrier's buffer is nearly empty again."""

    def stop(self) -> None:
        """The member is gone."""

    def answered(self) -> None:
        """The client was sent an answer."""


class Membership:
    """One connection of a user in a session. `id` names the connection in Redis; `position` is the last seq it has.

    `position` holds while the member is behind or ahead, and `recovery` is there while it is behind. `in_flight` counts
    its messages that Redis has not answered, `uncommitted` those that wait for Postgres.
    """

    __slots__ = (
        "carrier",
        "id",
        "in_flight",
        "position",
        "recovery",
        "room",
        "standing",
        "uncommitted",
        "user",
        "wants_batches",
        "wants_persisted",
    )

    def __init__(
        self, connection_id: str, user: User, room: "Room", carrier: Carrier, *, wants_batches: bool = False
    ) -> None:
        self.id = connection_id
        self.user = user
        self.room = room
        self.carrier = carrier
        self.standing = Standing.JOINING
        self.position = 0
        self.recovery: Recovery | None = None
        self.in_flight = 0
        self.uncommitted = 0
        self.wants_batches = wants_batches
        self.wants_persisted = False

    @property
    def user_id(self) -> str:
        """Whose membership it is."""
        assert self.user.id is not None
        return self.user.id

    @property
    def is_gone(self) -> bool:
        """Whether the member gets nothing more."""
        return self.standing is Standing.GONE
