"""What a room sends: queued while events come in, then one write for each socket. All synchronous."""

from typing import Protocol

from gateway.protocol.close_codes import Ending
from gateway.protocol.frames import text_frame


class Member(Protocol):
    """A joined socket, as a room sees it."""

    id: str
    wants_batches: bool
    wants_persisted: bool

    @property
    def user_id(self) -> str:
        """Whose connection it is."""

    def write(self, data: bytes) -> None:
        """Send frames now, without waiting."""

    def end(self, ending: Ending) -> None:
        """Close the connection."""


class Post(Protocol):
    """Who has the outboxes flushed, and counts what they send."""

    @property
    def is_reading(self) -> bool:
        """Whether more may come with what is being handed out; a flush follows then."""

    def schedule(self, outbox: "Outbox") -> None:
        """Flush once everything that came along is there."""

    def count(self, events: int, deliveries: int, delivered_bytes: int) -> None:
        """Keep the totals."""


class Outbox:
    """The events and answers that go to the `members` of one room next."""

    __slots__ = ("_answers", "_bodies", "_post", "members")

    def __init__(self, post: Post) -> None:
        self.members: set[Member] = set()
        self._post = post
        self._bodies: list[bytes] = []
        self._answers: dict[Member, bytes] = {}

    def queue(self, body: bytes) -> None:
        """Send an event to everyone."""
        if not self._bodies and not self._answers:
            self._post.schedule(self)
        self._bodies.append(body)

    def answer(self, member: Member, frame: bytes) -> None:
        """Send an answer to one member, in one write with the events that came along with it.

        Redis' reply to a publish and the event itself come together: that saves the publisher a write, 5 µs.
        """
        if not self._post.is_reading:
            member.write(frame)
            return
        if not self._bodies and not self._answers:
            self._post.schedule(self)
        self._answers[member] = self._answers.get(member, b"") + frame

    def discard(self, member: Member) -> None:
        """The member gets nothing more."""
        self.members.discard(member)
        self._answers.pop(member, None)

    def flush(self) -> None:
        """Send what is queued: every frame is built once, and each socket gets one write."""
        bodies, answers = self._bodies, self._answers
        if not bodies and not answers:
            return
        self._bodies = []
        if answers:
            self._answers = {}
        # A copy: a full buffer may end, and so discard, a member on the way.
        members = self.members - answers.keys() if answers else self.members.copy()
        frames = batch = b"".join(map(text_frame, bodies))
        if len(bodies) > 1 and any(member.wants_batches for member in self.members):
            batch = text_frame(b"[" + b",".join(bodies) + b"]")
            written = _write_each(members, frames, batch)
        else:
            for member in members:
                member.write(frames)
            written = len(frames) * len(members)
        deliveries = len(members)
        for member, ahead in answers.items():
            if member in self.members:
                written += _write_each((member,), ahead + frames, ahead + batch)
                deliveries += 1
            else:  # it will join the others only after these events
                member.write(ahead)
        self._post.count(len(bodies), len(bodies) * deliveries, written)


def _write_each(members: "set[Member] | tuple[Member]", frames: bytes, batch: bytes) -> int:
    written = 0
    for member in members:
        data = batch if member.wants_batches else frames
        member.write(data)
        written += len(data)
    return written
