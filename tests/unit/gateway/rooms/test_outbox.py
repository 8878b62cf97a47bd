"""What a room sends next: one write for each member."""

from gateway.protocol.frames import text_frame
from gateway.rooms.effects import Answer, Write
from gateway.rooms.outbox import Outbox
from tests.unit.gateway.rooms.memberships import member_of, room_of


def test_an_empty_outbox_sends_nothing() -> None:
    """Nothing queued is nothing sent."""
    outbox = Outbox()
    assert outbox.take() == []


def test_a_client_that_wants_batches_gets_one_frame() -> None:
    """Several events are one frame for a member that wants batches, and a frame each for others."""
    outbox = Outbox()
    ana, ben = member_of(room_of(), "ana", wants_batches=True), member_of(room_of(), "ben")
    outbox.live.update((ana, ben))
    outbox.queue(b"1")
    outbox.queue(b"2")
    batch, frames = text_frame(b"[1,2]"), text_frame(b"1") + text_frame(b"2")
    sent = outbox.take()
    assert sent == [Write([ana], batch, 2), Write([ben], frames, 2, 2)]


def test_an_answer_is_one_write_with_the_events() -> None:
    """Answers come first in the member's one write, as a batch or not."""
    outbox = Outbox()
    ana, ben = member_of(room_of(), "ana", wants_batches=True), member_of(room_of(), "ben")
    outbox.live.update((ana, ben))
    outbox.queue(b"1")
    outbox.queue(b"2")
    for member in (ana, ana, ben):
        outbox.answer(member, b"A")
    writes = [effect for effect in outbox.take() if isinstance(effect, Write) and effect.members]
    assert writes == [
        Write((ana,), b"AA" + text_frame(b"[1,2]"), 2),
        Write((ben,), b"A" + text_frame(b"1") + text_frame(b"2"), 2),
    ]


def test_a_member_that_lacks_events_is_answered_apart() -> None:
    """A member that is not live gets its answer without the events, and nothing once it is discarded."""
    outbox = Outbox()
    ana = member_of(room_of(), "ana")
    outbox.answer(ana, b"A")
    assert outbox.take() == [Answer(ana, b"A")]
    outbox.answer(ana, b"A")
    outbox.discard(ana)
    assert outbox.take() == []
