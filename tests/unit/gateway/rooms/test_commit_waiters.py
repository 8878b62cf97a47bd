"""Waiting for commits."""

from collections.abc import Callable, Iterable

from gateway.rooms.commit_waiters import REFUSED_KEPT, CommitWaiters
from gateway.rooms.effects import CommitOutcome, Tell

Told = list[tuple[int, CommitOutcome]]
COMMITTED, REFUSED, UNKNOWN = CommitOutcome.COMMITTED, CommitOutcome.REFUSED, CommitOutcome.UNKNOWN


def carry_out(effects: Iterable[Tell]) -> None:
    """Call back, as the room driver does."""
    for effect in effects:
        effect.callback(effect.outcome)


def waiting(waiters: CommitWaiters, *seqs: int) -> Told:
    """Wait for each seq; what is told is collected."""
    told: Told = []

    def callback(seq: int) -> Callable[[CommitOutcome], None]:
        return lambda outcome: told.append((seq, outcome))

    for seq in seqs:
        carry_out(waiters.wait(seq, callback(seq)))
    return told


def test_a_watermark_tells_everyone_up_to_it_in_order() -> None:
    """A watermark tells everyone up to it, in order of seq, once each."""
    waiters = CommitWaiters()
    told = waiting(waiters, 5, 3, 9, 3)
    carry_out(waiters.committed(5))
    assert told == [(3, COMMITTED), (3, COMMITTED), (5, COMMITTED)]
    assert waiters.seqs == (9,)
    carry_out(waiters.committed(9))
    carry_out(waiters.committed(10))
    assert told[3:] == [(9, COMMITTED)]
    assert not waiters.seqs


def test_a_known_outcome_is_told_at_once() -> None:
    """What is committed or refused already is told at once; a watermark never goes back."""
    waiters = CommitWaiters()
    waiters.committed(4)
    waiters.committed(2)
    waiters.refused(6)
    assert waiting(waiters, 4, 6, 5) == [(4, COMMITTED), (6, REFUSED)]
    assert waiters.persisted == 4


def test_only_who_waits_for_a_refused_seq_is_told() -> None:
    """Only who waits for the refused seq is told so."""
    waiters = CommitWaiters()
    told = waiting(waiters, 7, 8, 7)
    carry_out(waiters.refused(7))
    assert told == [(7, REFUSED), (7, REFUSED)]
    carry_out(waiters.committed(8))
    assert told[2:] == [(8, COMMITTED)]


def test_a_later_epoch_commits_nothing_of_an_earlier_one() -> None:
    """What was published before Redis lost data is never called committed because of what came after."""
    waiters = CommitWaiters()
    told = waiting(waiters, 42, 2_000_001)
    carry_out(waiters.committed(2_000_001))
    assert told == [(42, UNKNOWN), (2_000_001, COMMITTED)]
    assert waiting(waiters, 43, 2_000_000) == [(43, UNKNOWN), (2_000_000, COMMITTED)]


def test_only_recent_refusals_are_remembered() -> None:
    """Old refusals are forgotten."""
    waiters = CommitWaiters()
    for seq in range(1, REFUSED_KEPT + 2):
        waiters.refused(seq)
    assert waiting(waiters, 1, 2) == [(2, REFUSED)]


def test_nobody_is_told_of_a_commit_in_doubt() -> None:
    """In doubt a watermark tells no waiter anything; a refusal is told, and the end of the doubt tells the rest."""
    waiters = CommitWaiters()
    told = waiting(waiters, 5, 7)
    waiters.doubt()
    carry_out(waiters.committed(8))
    told += waiting(waiters, 3)
    carry_out(waiters.refused(7))
    assert told == [(7, REFUSED)]
    carry_out(waiters.settle(6, [5]))
    assert told == [(7, REFUSED), (5, REFUSED)]
    assert waiting(waiters, 5, 8) == [(5, REFUSED), (8, COMMITTED)]


def test_the_end_of_a_doubt_tells_each_what_became_of_its_message() -> None:
    """When the doubt is over, each is told once: refused, committed, or nothing yet."""
    waiters = CommitWaiters()
    told = waiting(waiters, 9, 5, 6)
    waiters.doubt()
    carry_out(waiters.settle(8, [6]))
    assert told == [(6, REFUSED), (5, COMMITTED)]
    assert waiters.seqs == (9,)


def test_after_a_loss_the_outcome_is_unknown() -> None:
    """When events may be lost, everybody is told that the outcome is unknown; later ones wait as before."""
    waiters = CommitWaiters()
    told = waiting(waiters, 6, 5)
    waiters.doubt()
    carry_out(waiters.lose())
    assert told == [(5, UNKNOWN), (6, UNKNOWN)]
    later = waiting(waiters, 7)
    carry_out(waiters.committed(7))
    assert later == [(7, COMMITTED)]
