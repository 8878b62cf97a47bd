"""Memberships for tests of the pure parts of a room: nothing carries them."""

from broker.events import User
from broker.sessions.live_sessions import SessionInfo
from gateway.protocol.close_codes import Ending
from gateway.rooms.membership import Membership
from gateway.rooms.room import Room

INFO = SessionInfo("5b0d7a52", "Evening", "2026-11-22T21:05:00.123Z", 50, "full", spirit=False)
TS = "2026-11-22T21:05:00.123Z"


class NoCarrier:
    """Stands where a carrier would; a pure part that touches it has a fault."""

    unsent_bytes = 0

    def write(self, data: bytes) -> None:
        """Refuse."""
        raise AssertionError(f"a pure part wrote {data!r}")

    def answer(self, data: bytes) -> None:
        """Refuse."""
        raise AssertionError(f"a pure part answered {data!r}")

    def end(self, ending: Ending) -> None:
        """Refuse."""
        raise AssertionError(f"a pure part ended {ending}")

    def pause_reading(self) -> None:
        """Refuse."""
        raise AssertionError("a pure part paused reading")

    def resume_reading(self) -> None:
        """Refuse."""
        raise AssertionError("a pure part resumed reading")

    def limited(self, what: str, wait_seconds: float) -> None:
        """Refuse."""
        raise AssertionError(f"a pure part limited {what} for {wait_seconds} s")


def room_of(info: SessionInfo = INFO) -> Room:
    """A room whose clock stands still."""
    return Room(info, now=lambda: TS)


def member_of(room: Room, user_id: str, connection_id: str | None = None, *, wants_batches: bool = False) -> Membership:
    """A membership of the user, not seated yet."""
    user = User(user_id, user_id.title())
    return Membership(connection_id or f"c-{user_id}", user, room, NoCarrier(), wants_batches=wants_batches)
