"""What a room decides: each rule alone."""

from functools import partial

import pytest
from msgspec.structs import replace

from broker.sessions.event_log import Event, EventKind
from broker.sessions.live_sessions import Position
from gateway.limits.rate import Rate
from gateway.protocol import close_codes
from gateway.protocol.frames import text_frame
from gateway.rooms.effects import (
    AnnouncePresence,
    Answer,
    CommitOutcome,
    Effects,
    End,
    Fence,
    ReadCommits,
    ReadLog,
    ReadSeats,
    ReportGap,
    RetryLater,
    ScheduleFlush,
    Step,
    Tell,
    Write,
)
from gateway.rooms.member import Member, Standing
from gateway.rooms.room import Room
from tests.unit.gateway.rooms.memberships import INFO, member_of, room_of

EPOCH = "epoch-1"
FLUSH = ScheduleFlush()


def event(seq: int, kind: EventKind = EventKind.MESSAGE, user_id: str = "ana", body: bytes | None = None) -> Event:
    """An event."""
    return Event(seq, kind, user_id, b"%d" % seq if body is None else body)


def live(room: Room, user_id: str, seq: int = 1) -> Member:
    """A member that gets every event after `seq`."""
    member = member_of(room, user_id)
    room.seat(member, seq, EPOCH)
    room.attach(member, seq)
    return member


def test_an_event_is_queued_and_flushed_once() -> None:
    """The first queued event asks for a flush, which sends everything in one write."""
    room = room_of()
    ana = live(room, "ana")
    assert list(room.heard(event(2))) == [FLUSH]
    assert list(room.heard(event(3))) == []
    frames = text_frame(b"2") + text_frame(b"3")
    assert list(room.flush()) == [Write([ana], frames, 2, 2)]
    assert list(room.flush()) == []


def test_a_gap_is_reported_and_announced() -> None:
    """A gap that nobody can fill is reported, and every member is told; a member who was removed in the gap ends."""
    room = room_of()
    ana = live(room, "ana")
    assert list(room.heard(event(3))) == [ReadLog(1)]
    assert list(room.log_read([], Position(EPOCH, 3, 0))) == [ReportGap(2, 2), FLUSH, ReadSeats((ana,))]
    room.flush()
    assert list(room.seats_read((ana,), [()])) == [End((ana,), close_codes.RESYNC)]


def test_a_fenced_session_ends_every_member() -> None:
    """Another epoch ends every member with 4003, and nothing that was heard before it is kept for joins."""
    room = room_of()
    room.expect_join()
    ana = live(room, "ana")
    room.heard(event(2))
    room.flush()
    room.catch_up()
    assert list(room.log_read([], Position(EPOCH, 1, 0))) == [Fence(EPOCH, 2, is_rewritten=True)]
    assert list(room.fenced()) == [End((ana,), close_codes.RESYNC)]
    room.join_is_over()
    assert room.is_empty


def test_a_late_joiner_gets_what_came_since_its_seat() -> None:
    """Events between the seat and the attachment are written before the live ones."""
    room = room_of()
    room.expect_join()
    live(room, "ben")
    room.heard(event(2))
    room.flush()
    ana = member_of(room, "ana")
    room.seat(ana, 1, EPOCH)
    assert list(room.attach(ana, 1)) == [Write((ana,), text_frame(b"2"))]
    assert ana.standing is Standing.LIVE


def test_a_member_stays_behind_when_events_are_not_kept() -> None:
    """A member stays behind when the room has not kept what it lacks."""
    room = room_of()
    live(room, "ben", 3)
    ana = member_of(room, "ana")
    room.seat(ana, 1, EPOCH)
    assert list(room.attach(ana, 1)) == []
    assert ana.standing is Standing.BEHIND
    assert list(room.suspend(ana)) == []


def test_a_member_ahead_is_admitted_when_the_room_reaches_it() -> None:
    """A member ahead gets nothing up to its position, and everything after it."""
    room = room_of()
    live(room, "ben")
    ana = member_of(room, "ana")
    room.seat(ana, 2, EPOCH)
    room.attach(ana, 2)
    assert ana.standing is Standing.AHEAD
    room.heard(event(2))
    assert ana.standing.value == "live"


def test_a_member_ahead_that_lacks_events_has_to_come_back() -> None:
    """A member ahead whose next events are in no log ends with 4003; one that goes is forgotten."""
    room = room_of()
    live(room, "ben")
    ana, cem, dan = (member_of(room, name) for name in ("ana", "cem", "dan"))
    for member in (ana, cem, dan):
        room.seat(member, 3, EPOCH)
        room.attach(member, 3)
    room.leave(cem)
    room.suspend(dan)
    room.heard(event(5))
    assert End((ana,), close_codes.RESYNC) in room.log_read([], Position(EPOCH, 5, 0))
    assert (cem.is_gone, dan.standing) == (True, Standing.BEHIND)


def test_a_suspended_member_keeps_its_position() -> None:
    """A suspended member gets what was queued, and nothing after it."""
    room = room_of()
    ana = live(room, "ana")
    room.heard(event(2))
    assert Write([ana], text_frame(b"2"), 1, 1) in room.suspend(ana)
    assert (ana.position, ana.standing) == (2, Standing.BEHIND)


def test_a_removed_user_ends_after_what_was_queued() -> None:
    """A removed user gets what came before its removal, and ends."""
    room = room_of()
    ana = live(room, "ana")
    room.heard(event(2))
    effects = list(room.heard(event(3, EventKind.USER_REMOVED)))
    assert effects == [Write([ana], text_frame(b"2"), 1, 1), End((ana,), close_codes.REMOVED), FLUSH]


def test_news_without_seq_ends_members_that_are_still_joining() -> None:
    """A removal or a replacement heard during a join ends the member at its seat."""
    room = room_of()
    room.expect_join()
    room.heard(event(0, EventKind.USER_REMOVED, "ana"))
    room.heard(event(0, EventKind.REPLACED, "ben", b"c-ben"))
    ana, ben = member_of(room, "ana"), member_of(room, "ben")
    assert list(room.seat(ana, 1, EPOCH)) == [End((ana,), close_codes.REMOVED)]
    assert list(room.seat(ben, 1, EPOCH)) == [End((ben,), close_codes.REPLACED)]
    assert list(room.attach(ana, 1)) == []


def test_only_the_named_connection_is_replaced() -> None:
    """News of a replacement ends the connection that it names and no other."""
    room = room_of()
    ana = live(room, "ana")
    assert list(room.heard(event(0, EventKind.REPLACED, "ana", b"c-old"))) == []
    assert list(room.heard(event(0, EventKind.REPLACED, "ana", b"c-ana"))) == [End((ana,), close_codes.REPLACED)]
    assert list(room.heard(event(0, EventKind.USER_REMOVED, "ana"))) == []


def test_a_closed_session_ends_live_members_after_the_event() -> None:
    """The live members get the event that closes the session, and end."""
    room = room_of()
    ana = live(room, "ana")
    effects = list(room.heard(event(2, EventKind.SESSION_CLOSED)))
    assert effects[1:] == [Write([ana], text_frame(b"2"), 1, 1), End((ana,), close_codes.SESSION_CLOSED)]


def test_a_close_among_the_late_events_ends_the_member() -> None:
    """A member whose late events close the session gets them, and ends."""
    room = room_of()
    room.expect_join()
    ana = member_of(room, "ana")
    room.seat(ana, 1, EPOCH)
    room.heard(event(2, EventKind.SESSION_CLOSED))
    assert End((ana,), close_codes.SESSION_CLOSED) in room.attach(ana, 1)


def test_typing_goes_to_others() -> None:
    """Typing goes to every live member but the user's own."""
    room = room_of()
    live(room, "ana")
    ben = live(room, "ben")
    effects = list(room.heard(event(0, EventKind.TO_OTHERS, "ana", b"t")))
    assert effects == [Write([ben], text_frame(b"t"), 1, 1)]
    assert list(room.heard(event(0, EventKind.TO_ALL, "-", b"n"))) == [FLUSH]


def test_an_answer_leaves_with_the_events() -> None:
    """An answer is one write with the events of the read; a member that lacks events gets it apart."""
    room = room_of()
    ana, ben = live(room, "ana"), member_of(room, "ben")
    room.seat(ben, 1, EPOCH)
    assert list(room.answer(ana, b"A")) == [FLUSH]
    assert list(room.answer(ben, b"B")) == []
    room.heard(event(2))
    assert list(room.flush())[1:3] == [Write((ana,), b"A" + text_frame(b"2"), 1), Answer(ben, b"B")]


def test_commits_are_told_to_those_who_wait() -> None:
    """A watermark, a refusal and a position tell those who wait, and those who asked for `persisted`."""
    room = room_of()
    ana = live(room, "ana")
    ana.wants_persisted = True

    def callback(_: CommitOutcome) -> None:
        raise AssertionError

    for seq in (2, 3, 4):
        room.await_commit(seq, callback)
    told = list(room.heard(event(0, EventKind.COMMITTED, "-", b"2")))
    assert (told[0], len(told)) == (Tell(callback, CommitOutcome.COMMITTED), 2)
    assert list(room.heard(event(0, EventKind.REFUSED, "-", b"3"))) == [Tell(callback, CommitOutcome.REFUSED)]
    assert list(room.heard(event(0, EventKind.COMMITTED, "-", b"4")))[:1] == [Tell(callback, CommitOutcome.COMMITTED)]


def waiting(room: Room, *seqs: int) -> list[tuple[int, CommitOutcome]]:
    """Wait for the commits of these seqs; what is told is collected by `carry_out`."""
    told: list[tuple[int, CommitOutcome]] = []
    for seq in seqs:
        room.await_commit(seq, partial(lambda seq, outcome: told.append((seq, outcome)), seq))
    return told


def carry_out(effects: Effects) -> Effects:
    """Call those who wait for commits; returns the effects."""
    for effect in effects:
        if isinstance(effect, Tell):
            effect.callback(effect.outcome)
    return effects


def test_commits_are_checked_after_the_log() -> None:
    """After an interruption nobody is told of a commit before the log was compared, and refusals were asked for."""
    room = room_of()
    ana = live(room, "ana", 1)
    for seq in (2, 3):
        room.heard(event(seq))
    told = waiting(room, 2, 3)
    assert list(room.catch_up()) == [ReadLog(3)]
    carry_out(room.heard(event(0, EventKind.COMMITTED, "-", b"3")))
    assert told == []
    asked = ReadCommits((2, 3))
    assert list(room.log_read([event(3)], Position(EPOCH, 3, 3))) == [asked, ReadSeats((ana,))]
    assert list(room.failed(Step.COMMITS, passes=True)) == [RetryLater(Step.COMMITS)]
    [asked] = room.tick(Step.COMMITS)  # type: ignore[assignment]
    carry_out(room.commits_read(asked, Position(EPOCH, 3, 3), [2]))
    assert told == [(2, CommitOutcome.REFUSED), (3, CommitOutcome.COMMITTED)]


def test_an_answer_about_commits_that_an_interruption_has_overtaken_shows_nothing() -> None:
    """The answer to an earlier question may be of a history that Redis has lost since."""
    room = room_of()
    live(room, "ana", 1)
    room.heard(event(2))
    told = waiting(room, 2)
    room.catch_up()
    old, _ = room.log_read([event(2)], Position(EPOCH, 2, 1))
    assert isinstance(old, ReadCommits)
    room.catch_up()
    carry_out(room.commits_read(old, Position(EPOCH, 2, 2), []))
    assert told == []
    carry_out(room.log_read([event(2, body=b"other")], Position(EPOCH, 2, 2)))
    carry_out(room.fenced())
    assert told == [(2, CommitOutcome.UNKNOWN)]


def test_the_end_of_the_log_that_is_gone_is_announced() -> None:
    """Events that Redis gave and no longer has are announced as a gap, though no event comes after them."""
    room = room_of()
    ana, ben = live(room, "ana"), member_of(room, "ben")
    room.seat(ben, 4, EPOCH)
    room.attach(ben, 4)
    room.catch_up()
    assert list(room.log_read([], Position(EPOCH, 4, 0))) == [ReadLog(1)]
    effects = list(room.log_read([], Position(EPOCH, 4, 0)))
    assert effects[:2] == [ReportGap(2, 4), FLUSH]
    assert (room.sequencer.last_seq, ben.standing, ana.is_gone) == (4, Standing.LIVE, False)


def test_redis_tells_which_of_two_joins_was_the_later_one() -> None:
    """After an interruption during two joins of one user, the one that holds the seat stays, whichever came later."""
    room = room_of()
    live(room, "ben")
    room.expect_join()
    room.catch_up()
    room.log_read([], Position(EPOCH, 1, 0))
    newer, older = member_of(room, "ana", "c-newer"), member_of(room, "ana", "c-older")
    assert list(room.seat(newer, 1, EPOCH)) == [ReadSeats((newer,))]
    assert list(room.seat(older, 1, EPOCH)) == [ReadSeats((newer, older))]
    holding = [("c-newer",), ("c-newer",)]
    assert list(room.seats_read((newer, older), holding)) == [End((older,), close_codes.REPLACED)]
    assert not newer.is_gone


def test_every_failed_step_is_tried_again() -> None:
    """What Redis did not answer is asked again after the delay."""
    room = room_of()
    ana = live(room, "ana")
    room.catch_up()
    assert [list(room.failed(step, passes=False)) for step in Step] == [[RetryLater(step)] for step in Step]
    assert [list(room.tick(step)) for step in Step] == [[ReadLog(1)], [], [ReadSeats((ana,))]]


def test_a_member_without_a_seat_ends_once() -> None:
    """A member whose seat another connection holds ends, unless it is gone already."""
    room = room_of()
    ana = live(room, "ana")
    assert list(room.seats_read((ana,), [("c-new",)])) == [End((ana,), close_codes.REPLACED)]
    assert list(room.seats_read((ana,), [("c-new",)])) == []


def test_a_member_whose_third_connection_has_left_ends() -> None:
    """A member without any seat ends, once no event of the log can say why; while it recovers, Redis is asked again."""
    room = room_of()
    room.expect_join()
    ana = member_of(room, "ana")
    room.seat(ana, 1, EPOCH)
    assert list(room.seats_read((ana,), [()])) == [RetryLater(Step.SEATS)]
    room.attach(ana, 1)
    room.heard(event(3))
    assert list(room.seats_read((ana,), [()])) == []
    assert ReadSeats((ana,)) in room.log_read([event(2), event(3)], Position(EPOCH, 3, 0))
    room.flush()
    assert list(room.seats_read((ana,), [()])) == [End((ana,), close_codes.RESYNC)]


def test_presence_is_told_once_an_interval() -> None:
    """Several changes of the number of users are told together, and to nobody when nobody is there."""
    room = room_of()
    ana = live(room, "ana")
    assert list(room.heard(event(0, EventKind.PRESENCE_CHANGED, "-", b"4"))) == [AnnouncePresence()]
    assert list(room.heard(event(0, EventKind.PRESENCE_CHANGED, "-", b"5"))) == []
    assert list(room.presence_due()) == [FLUSH]
    room.leave(ana)
    room.heard(event(0, EventKind.PRESENCE_CHANGED, "-", b"0"))
    assert list(room.presence_due()) == []


def test_commits_are_asked_about_after_the_log() -> None:
    """While the log is read nobody asks about commits; the answer of the log lets the question go out."""
    room = room_of()
    ana = live(room, "ana")
    room.heard(event(2))
    waiting(room, 2)
    assert list(room.catch_up()) == [ReadLog(2)]
    assert list(room.tick(Step.COMMITS)) == []
    assert list(room.log_read([event(2)], Position(EPOCH, 2, 0))) == [ReadCommits((2,)), ReadSeats((ana,))]


def test_a_users_messages_count_together() -> None:
    """All connections of a user share one rate, also one that comes later; another user has a rate of its own."""
    room = room_of(replace(INFO, multiple_connections=True))
    rate = Rate(20, 4)
    first, second, other = live(room, "ana"), live(room, "ana"), live(room, "bob")
    assert [room.spend_message(member, rate, 100.0) for member in (first, second, first, second)] == [0.0] * 4
    assert room.spend_message(first, rate, 100.0) == pytest.approx(0.05, abs=0.001)
    assert room.spend_message(live(room, "ana"), rate, 100.0) > 0
    assert room.spend_message(other, rate, 100.0) == 0
    assert room.spend_message(second, rate, 100.06) == 0
    assert room.spend_message(first, rate, 100.06) > 0


def test_a_new_connection_does_not_bring_a_new_burst() -> None:
    """A user who connects again, while the old connection is still there, goes on at the same rate."""
    room = room_of()
    rate = Rate(20, 1)
    assert room.spend_message(live(room, "ana"), rate, 100.0) == 0
    assert room.spend_message(live(room, "ana"), rate, 100.0) > 0
