"""Waiting for commits."""

import asyncio

from gateway.rooms.commit_waiters import REFUSED_KEPT, CommitWaiters


def waiting(commits: CommitWaiters, *seqs: int) -> list[tuple[int, bool | None]]:
    """Wait for each seq; what is told is collected."""
    told: list[tuple[int, bool | None]] = []

    def waiter(seq: int) -> None:
        commits.wait(seq, lambda is_committed: told.append((seq, is_committed)))

    for seq in seqs:
        waiter(seq)
    return told


def test_told_in_order_of_seq() -> None:
    """A watermark tells everyone up to it, in order of seq, once each."""
    commits = CommitWaiters()
    told = waiting(commits, 5, 3, 9, 3)
    commits.committed(5)
    assert told == [(3, True), (3, True), (5, True)]
    assert commits.is_awaited
    commits.committed(9)
    commits.committed(10)
    assert told[3:] == [(9, True)]
    assert not commits.is_awaited


def test_told_at_once() -> None:
    """What is committed or refused already is told at once; a watermark never goes back."""
    commits = CommitWaiters()
    commits.committed(4)
    commits.committed(2)
    commits.refused(6)
    assert waiting(commits, 4, 6, 5) == [(4, True), (6, False)]
    assert commits.persisted == 4


def test_refused() -> None:
    """Only who waits for the refused seq is told so."""
    commits = CommitWaiters()
    told = waiting(commits, 7, 8, 7)
    commits.refused(7)
    assert told == [(7, False), (7, False)]
    commits.committed(8)
    assert told[2:] == [(8, True)]


def test_a_later_epoch_commits_nothing_of_an_earlier_one() -> None:
    """What was published before Redis lost data is never called committed because of what came after."""
    commits = CommitWaiters()
    told = waiting(commits, 42, 2_000_001)
    commits.committed(2_000_001)
    assert told == [(42, None), (2_000_001, True)]
    assert waiting(commits, 43, 2_000_000) == [(43, None), (2_000_000, True)]


def test_refusals_are_bounded() -> None:
    """Old refusals are forgotten."""
    commits = CommitWaiters()
    for seq in range(1, REFUSED_KEPT + 2):
        commits.refused(seq)
    assert waiting(commits, 1, 2) == [(2, False)]


async def test_reached() -> None:
    """`reached` waits; whoever gave up waiting harms nobody."""
    commits = CommitWaiters()
    first, second = (asyncio.ensure_future(commits.reached(1)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    commits.committed(1)
    assert await second is True
