"""The events and answers that a room sends next, joined to one write for each member. Pure."""

from gateway.protocol.frames import text_frame
from gateway.rooms.effects import Answer, Effect, Write
from gateway.rooms.member import Member


class Outbox:
    """The queued events and answers of one room, and its `live` members, which get the events."""

    __slots__ = ("_answers", "_bodies", "live")

    def __init__(self) -> None:
        self.live: set[Member] = set()
        self._bodies: list[bytes] = []
        self._answers: dict[Member, bytes] = {}

    def queue(self, body: bytes) -> bool:
        """Queue an event for every live member; returns whether nothing was queued before."""
        is_first = not self._bodies and not self._answers
        self._bodies.append(body)
        return is_first

    def answer(self, member: Member, frame: bytes) -> bool:
        """Queue an answer for one member, for one write with the queued events; returns as `queue` does.

        Redis' reply to a publish and the event itself come together: one write for both saves the publisher 5 µs.
        """
        is_first = not self._bodies and not self._answers
        self._answers[member] = self._answers.get(member, b"") + frame
        return is_first

    def discard(self, member: Member) -> None:
        """Drop a member, and the answers queued for it."""
        self.live.discard(member)
        self._answers.pop(member, None)

    def take(self) -> list[Effect]:
        """Empty the queue; returns its writes. Every frame is built once, and each member gets one write."""
        bodies, answers = self._bodies, self._answers
        if not bodies and not answers:
            return []
        self._bodies = []
        if answers:
            self._answers = {}
        frames = batch = b"".join(map(text_frame, bodies))
        events = len(bodies)
        if events > 1 and any(member.wants_batches for member in self.live):
            batch = text_frame(b"[" + b",".join(bodies) + b"]")
        effects: list[Effect] = []
        if bodies:
            members = [member for member in self.live if member not in answers] if answers else list(self.live)
            if batch is not frames:
                effects.append(Write([one for one in members if one.wants_batches], batch, events))
                members = [one for one in members if not one.wants_batches]
            effects.append(Write(members, frames, events, events))
        for member, ahead in answers.items():
            if member in self.live:
                effects.append(Write((member,), ahead + (batch if member.wants_batches else frames), events))
            else:  # the member is not live, and must not get these events
                effects.append(Answer(member, ahead))
        return effects
