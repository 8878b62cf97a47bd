"""A user's place in a room, apart from what carries it: today a WebSocket of its own."""

from typing import Protocol

from broker.events import User
from gateway.rooms.member import Carrier, Member
from gateway.rooms.room import Room


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


class Membership(Member):
    """A member with its room, and what it is in the middle of.

    `recovery` is there while the member is behind. `in_flight` counts its messages that Redis has not answered,
    `uncommitted` those that wait for Postgres.
    """

    __slots__ = ("in_flight", "recovery", "room", "uncommitted")

    def __init__(
        self, connection_id: str, user: User, room: Room, carrier: Carrier, *, wants_batches: bool = False
    ) -> None:
        super().__init__(connection_id, user, carrier, wants_batches=wants_batches)
        self.room = room
        self.recovery: Recovery | None = None
        self.in_flight = 0
        self.uncommitted = 0
