"""The order of one session's events: each rule of the sequencer alone."""

import pytest

from broker.sessions.event_log import PAGE, Event, EventKind
from broker.sessions.live_sessions import Position
from gateway.rooms.effects import Fence, ReadLog, RetryLater, Step
from gateway.rooms.sequencer import Lost, Missing, Sequencer

EPOCH = "epoch-1"
RETRY = RetryLater(Step.LOG)


def event(seq: int, text: str = "hi") -> Event:
    """A message."""
    return Event(seq, EventKind.MESSAGE, "ana", b"%d %s" % (seq, text.encode()))


def events(first: int, last: int) -> list[Event]:
    """Messages `first` to `last`."""
    return [event(seq) for seq in range(first, last + 1)]


def position(seq: int, epoch: str = EPOCH) -> Position:
    """How far Redis has come."""
    return Position(epoch, seq, 0)


def sequencer_at(seq: int, max_attempts: int = 3) -> Sequencer:
    """A sequencer that has handed out event `seq`, the only one."""
    sequencer = Sequencer(max_attempts)
    assert list(sequencer.begin(seq - 1, EPOCH)) == []
    assert list(sequencer.heard(event(seq))) == [event(seq)]
    return sequencer


def test_the_next_event_is_handed_out() -> None:
    """The next event is handed out at once."""
    assert list(sequencer_at(4).heard(event(5))) == [event(5)]


def test_the_first_event_is_handed_out_while_nobody_is_there() -> None:
    """While nobody is there any event is the next one, and the first member starts behind it."""
    sequencer = Sequencer()
    assert list(sequencer.heard(event(7))) == [event(7)]
    assert list(sequencer.begin(6, EPOCH)) == []
    assert (sequencer.epoch, sequencer.last_seq) == (EPOCH, 7)


def test_a_repeated_event_is_dropped() -> None:
    """The last event, repeated, changes nothing."""
    assert list(sequencer_at(4).heard(event(4))) == []


def test_a_late_event_makes_the_log_be_checked() -> None:
    """An older event may be late or of a rewritten history: the log is read from the last event on."""
    sequencer = sequencer_at(4)
    assert list(sequencer.heard(event(3))) == [ReadLog(4)]
    assert list(sequencer.log_read([event(4)], position(4))) == []


def test_another_event_under_the_last_seq_is_fenced() -> None:
    """A log with another event under the last seq is a rewritten history: the session gets another epoch."""
    sequencer = sequencer_at(4)
    assert list(sequencer.heard(event(4, "instead"))) == [ReadLog(4)]
    assert list(sequencer.log_read([event(4, "instead")], position(4))) == [Fence(EPOCH, 4, is_rewritten=True)]
    assert list(sequencer.fenced()) == [Lost()]
    assert sequencer.last_seq is None


def test_a_gap_is_filled_from_the_log() -> None:
    """A gap is filled from the log, and the events after it follow."""
    sequencer = sequencer_at(4)
    assert list(sequencer.heard(event(7))) == [ReadLog(4)]
    assert list(sequencer.heard(event(8))) == []
    assert list(sequencer.log_read(events(4, 7), position(8))) == events(5, 8)
    assert list(sequencer.heard(event(9))) == [event(9)]


def test_what_the_log_lacks_is_announced() -> None:
    """A gap whose events the log lacks is announced before the event that follows, from the log or the channel."""
    sequencer = sequencer_at(4)
    sequencer.heard(event(9))
    handed_out = list(sequencer.log_read([event(6)], position(9)))
    assert handed_out == [Missing(5, 5), event(6), Missing(7, 8), event(9)]


def test_what_came_after_the_log_was_asked_is_read_again() -> None:
    """A gap before an event that came after the question is no gap yet: the log is read again."""
    sequencer = sequencer_at(4)
    sequencer.catch_up()
    sequencer.heard(event(7))
    assert list(sequencer.log_read(events(4, 5), position(7))) == [event(5), ReadLog(5)]
    assert list(sequencer.log_read(events(5, 7), position(7))) == events(6, 7)


def test_another_epoch_that_came_after_the_log_was_asked_sends_everybody_away() -> None:
    """The first event of another epoch, heard while the log of the old one was read, is handed out to nobody."""
    sequencer = sequencer_at(4)
    sequencer.catch_up()
    sequencer.heard(event(2_000_001))
    assert list(sequencer.log_read(events(4, 5), position(5))) == [event(5), ReadLog(5)]
    assert list(sequencer.log_read([], position(2_000_001, "epoch-2"))) == [Lost()]


def test_a_break_forgets_what_was_held() -> None:
    """What was held when the subscription broke may be of a lost history: only the log tells."""
    sequencer = sequencer_at(4)
    sequencer.heard(event(7))
    assert list(sequencer.catch_up()) == []
    assert list(sequencer.log_read(events(4, 5), position(5))) == [event(5), ReadLog(5)]
    assert list(sequencer.log_read([event(5)], position(5))) == []


def test_a_late_event_during_a_fill_makes_the_log_be_read_again() -> None:
    """A number that is given twice while the log is read is found by a second reading."""
    sequencer = sequencer_at(4)
    sequencer.catch_up()
    assert list(sequencer.heard(event(4, "instead"))) == []
    assert list(sequencer.log_read([], position(4))) == [ReadLog(4)]
    assert list(sequencer.log_read([event(4, "instead")], position(4))) == [Fence(EPOCH, 4, is_rewritten=True)]


def test_a_full_page_is_followed_by_the_next() -> None:
    """After a full page the log is read on, from its last event."""
    sequencer = sequencer_at(1)
    sequencer.heard(event(PAGE + 2))
    page = events(1, PAGE)
    assert list(sequencer.log_read(page, position(PAGE + 2))) == [*page[1:], ReadLog(PAGE)]
    assert list(sequencer.log_read(events(PAGE, PAGE + 1), position(PAGE + 2))) == events(PAGE + 1, PAGE + 2)


def test_a_break_makes_the_log_be_read() -> None:
    """After a break the log is read from the last event on, and events that come meanwhile wait."""
    sequencer = sequencer_at(4)
    assert list(sequencer.catch_up()) == [ReadLog(4)]
    assert list(sequencer.heard(event(6))) == []
    assert list(sequencer.log_read(events(4, 5), position(5))) == events(5, 6)


def test_a_log_without_the_last_event_is_read_again() -> None:
    """A log that was read before Redis gave the last seq again lacks that seq; the next read shows the other event."""
    sequencer = sequencer_at(4)
    sequencer.heard(event(5))
    sequencer.catch_up()
    sequencer.heard(event(6))
    assert list(sequencer.log_read([], position(6))) == [ReadLog(5)]
    other = Event(5, EventKind.MESSAGE, "ben", b"other")
    assert list(sequencer.log_read([other, event(6)], position(6))) == [Fence(EPOCH, 5, is_rewritten=True)]


def test_a_break_during_a_fill_makes_the_log_be_read_again() -> None:
    """A break while the log is read makes it be read once more afterwards."""
    sequencer = sequencer_at(4)
    sequencer.catch_up()
    assert list(sequencer.catch_up()) == []
    assert list(sequencer.log_read([event(4)], position(5))) == [ReadLog(4)]
    assert list(sequencer.log_read(events(4, 5), position(5))) == [event(5)]


def test_a_break_while_nobody_is_there_is_caught_up_by_the_first_member() -> None:
    """A break while nobody is there is remembered for the first member, with an event heard meanwhile or without."""
    sequencer = Sequencer()
    assert list(sequencer.catch_up()) == []
    assert list(sequencer.begin(4, EPOCH)) == [ReadLog(4)]
    other = Sequencer()
    other.catch_up()
    other.heard(event(5))
    assert list(other.begin(4, EPOCH)) == [ReadLog(5)]


@pytest.mark.parametrize("epoch", ["epoch-0", EPOCH])
def test_a_position_behind_is_fenced(epoch: str) -> None:
    """A Redis that has come less far than what was handed out has lost data, in whatever epoch it is.

    In the same epoch other events may get the lost seqs before the fence arrives: the fence says so.
    """
    sequencer = sequencer_at(4)
    sequencer.catch_up()
    assert list(sequencer.log_read([], position(3, epoch))) == [Fence(epoch, 4, is_rewritten=epoch == EPOCH)]


def test_another_epoch_sends_everybody_away() -> None:
    """Another epoch sends everybody away, and nothing of the epoch is handed out."""
    sequencer = sequencer_at(4)
    assert list(sequencer.heard(event(2_000_001))) == [ReadLog(4)]
    read = sequencer.log_read([event(2_000_001)], position(2_000_001, "epoch-2"))
    assert list(read) == [Lost()]


def test_a_session_that_redis_does_not_hold_sends_everybody_away() -> None:
    """A Redis that knows nothing of the session sends everybody away."""
    sequencer = sequencer_at(4)
    sequencer.catch_up()
    assert list(sequencer.log_read([], None)) == [Lost()]


def test_a_member_of_another_epoch_sends_the_older_ones_away() -> None:
    """A seat in another epoch sends the older members away, and the log is read for the new one."""
    sequencer = sequencer_at(4)
    assert list(sequencer.begin(2_000_000, "epoch-2")) == [Lost(), ReadLog(2_000_000)]
    assert (sequencer.epoch, sequencer.last_seq) == ("epoch-2", 2_000_000)


def test_a_member_of_another_epoch_during_a_fill_has_the_log_read_again() -> None:
    """A seat in another epoch while the log is read waits for that answer, which is of no use."""
    sequencer = sequencer_at(4)
    sequencer.catch_up()
    assert list(sequencer.begin(2_000_000, "epoch-2")) == [Lost()]
    assert list(sequencer.log_read([], position(2_000_000, "epoch-2"))) == [ReadLog(2_000_000)]


def test_a_failure_is_tried_again_and_not_for_ever() -> None:
    """A question that fails is asked again after each delay; after the last attempt everybody is sent away."""
    sequencer = sequencer_at(4, max_attempts=3)
    sequencer.catch_up()
    assert list(sequencer.failed(passes=False)) == [RETRY]
    assert list(sequencer.tick()) == [ReadLog(4)]
    assert list(sequencer.failed(passes=False)) == [RETRY]
    assert list(sequencer.failed(passes=False)) == [Lost()]


def test_attempts_count_anew_after_an_answer() -> None:
    """An answer, and giving up, make the attempts count from the start."""
    sequencer = sequencer_at(4, max_attempts=2)
    sequencer.catch_up()
    assert list(sequencer.failed(passes=False)) == [RETRY]
    sequencer.log_read([event(4)], position(4))
    sequencer.catch_up()
    assert list(sequencer.failed(passes=False)) == [RETRY]
    assert list(sequencer.failed(passes=False)) == [Lost()]
    sequencer.begin(4, EPOCH)
    assert list(sequencer.failed(passes=False)) == [RETRY]


def test_a_retry_after_everybody_went_gives_up() -> None:
    """A delay that ends when nobody is there any more asks nothing."""
    assert list(Sequencer().tick()) == [Lost()]


def test_a_log_without_the_last_event_is_not_rewritten() -> None:
    """A log that is trimmed past the last event, or a last event from before the room, says nothing of a rewrite."""
    sequencer = sequencer_at(4)
    sequencer.heard(event(6))
    assert list(sequencer.log_read([event(6)], position(6))) == [Missing(5, 5), event(6)]
    other = Sequencer()
    other.begin(4, EPOCH)
    other.heard(event(6))
    assert list(other.log_read([event(4, "x"), event(5)], position(6))) == events(5, 6)


def test_a_failure_that_passes_by_itself_is_no_attempt() -> None:
    """While Redis is away or busy the question is asked again, however often, and nobody is sent away."""
    sequencer = sequencer_at(4, max_attempts=2)
    sequencer.catch_up()
    for _ in range(5):
        assert list(sequencer.failed(passes=True)) == [RETRY]
        assert list(sequencer.tick()) == [ReadLog(4)]
    assert list(sequencer.failed(passes=False)) == [RETRY]
    assert list(sequencer.failed(passes=True)) == [RETRY]
    assert list(sequencer.failed(passes=False)) == [Lost()]


def test_the_log_tells_the_epoch_while_nobody_has_joined() -> None:
    """A server may wait for its message in a room without members: a log that goes on there tells the epoch."""
    sequencer = Sequencer()
    assert list(sequencer.heard(event(7))) == [event(7)]
    assert list(sequencer.catch_up()) == [ReadLog(7)]
    assert list(sequencer.log_read(events(7, 8), position(8))) == [event(8)]
    assert (sequencer.epoch, sequencer.last_seq) == (EPOCH, 8)
