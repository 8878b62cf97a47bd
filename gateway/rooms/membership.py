"""A user's place in a room, apart from the carrier: today each membership has a WebSocket of its own."""

from typing import Protocol

from broker.events import User
from gateway.rooms.member import Carrier, Member
from gateway.rooms.room import Room


class Recovery(Protocol):
    """Sends a member the events that it lacks, until it gets the live ones."""

    def pause(self) -> None:
        """The carrier's buffer is full."""

    def resume(self) -> None:
        """The carrier's buffer is nearly empty again."""

    def stop(self) -> None:
        """The member has left the room."""

    def answered(self) -> None:
        """The client was sent an answer."""


class Membership(Member):
    """A member with its room, its recovery and its unanswered messages.

    `recovery` is set while the member is behind. `in_flight` counts the member's messages and `typing` that Redis has
    not answered (`is_typing`: a `typing` is among them; `is_held`: as many as there may be), `uncommitted` the messages
    whose `ack` waits for the commit in Postgres, `unpaid` those that the limit of the user's messages has not counted
    yet (gateway/rooms/tolls.py). The token's data are those of the grant (gateway/access/grants.py) that admits the
    member now.
    """

    __slots__ = (
        "application_subject",
        "in_flight",
        "is_held",
        "is_typing",
        "recovery",
        "room",
        "token_id",
        "token_seconds",
        "uncommitted",
        "unpaid",
    )

    def __init__(
        self, connection_id: str, user: User, room: Room, carrier: Carrier, *, wants_batches: bool = False
    ) -> None:
        super().__init__(connection_id, user, carrier, wants_batches=wants_batches)
        self.room = room
        self.recovery: Recovery | None = None
        self.token_id = connection_id
        self.application_subject: str | None = None
        self.token_seconds = 0
        self.in_flight = 0
        self.is_held = False
        self.is_typing = False
        self.uncommitted = 0
        self.unpaid = -1
