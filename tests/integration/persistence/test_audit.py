"""The contiguity audit: the entries that pass through a worker, against the marks in a real Postgres."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from broker.streams.partition_streams import Entry
from persistence.audit import Audit
from persistence.marks import Marks
from persistence.rows import Record
from persistence.writer import Writer
from tests.stream_fixtures import add_sessions, joined, message, rows

ANA = "7c0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a03"
Event = tuple[str, int]


@pytest.fixture
async def session_id(engine: AsyncEngine) -> str:
    """A session."""
    (one,) = await add_sessions(engine, 1)
    return one


async def batch(audit: Audit, session_id: str, *events: Event, partition: int = 0) -> None:
    """One batch: events (epoch, seq) of a session."""
    entries = [Entry(partition, b"", session_id, epoch, b"", {}) for epoch, _ in events]
    records = [Record(session_id, joined(ANA, "Ana", seq=seq), epoch) for epoch, seq in events]
    await audit.learn(entries)
    audit.passed(entries, records)


def run(epoch: str, first: int, last: int) -> list[Event]:
    """Events without a hole."""
    return [(epoch, seq) for seq in range(first, last + 1)]


CASES: list[tuple[list[list[Event]], int, int]] = [
    # batches, missing, duplicates
    ([run("a", 1, 5), run("a", 6, 9)], 0, 0),
    ([run("a", 1, 5), run("a", 4, 9)], 0, 2),
    ([[*run("a", 1, 3), *run("a", 6, 7)]], 2, 0),
    ([run("a", 2, 3)], 1, 0),
    ([run("a", 1, 3), run("a", 5, 5), run("a", 4, 4), run("a", 6, 6)], 1, 1),
    ([[*run("a", 1, 3), *run("b", 2_000_001, 2_000_003)]], 0, 0),
    ([run("a", 1, 3), run("b", 2_000_003, 2_000_004), run("b", 2_000_005, 2_000_005)], 2, 0),
    ([run("a", 1, 3), run("b", 2_000_001, 2_000_001), run("a", 4, 5), run("b", 2_000_002, 2_000_002)], 0, 2),
    ([[("a", 0), *run("a", 1, 1), ("a", 0), *run("a", 2, 2)]], 0, 0),
]


@pytest.mark.parametrize(("batches", "missing", "duplicates"), CASES)
async def test_missing_and_repeated_seqs_are_counted_apart(
    engine: AsyncEngine, session_id: str, batches: list[list[Event]], missing: int, duplicates: int
) -> None:
    """Only a seq that never came counts as missing, at the start of an epoch too; a repeated seq is counted apart."""
    audit = Audit(Marks(engine))
    for events in batches:
        await batch(audit, session_id, *events)
    assert (audit.missing_total, audit.duplicates_total) == (missing, duplicates)


async def test_a_missing_seq_is_logged(engine: AsyncEngine, session_id: str) -> None:
    """The log says in which session, and which seqs."""
    audit = Audit(Marks(engine))
    with capture_logs() as lines:
        await batch(audit, session_id, ("a", 1), ("a", 5))
    told: dict[str, Any] = {"session_id": session_id, "epoch": "a", "first": 2, "last": 4}
    assert lines == [{"event": "worker.seq_missing", "log_level": "error", **told}]


@pytest.mark.parametrize(("epoch", "first", "missing"), [("a", 8, 0), ("a", 9, 1), ("b", 2_000_001, 0)])
async def test_an_unknown_session_goes_on_from_its_mark(
    engine: AsyncEngine, session_id: str, epoch: str, first: int, missing: int
) -> None:
    """A worker that does not know a session goes on from where the mark says."""
    await Writer(engine).write([Record(session_id, message(session_id, 7), "a")])
    audit = Audit(Marks(engine))
    await batch(audit, session_id, (epoch, first))
    assert audit.missing_total == missing


async def test_seqs_that_another_worker_wrote_are_not_missing(engine: AsyncEngine, session_id: str) -> None:
    """Seqs that another worker wrote in between are not missing."""
    audit = Audit(Marks(engine))
    await batch(audit, session_id, *run("a", 1, 3))
    await Writer(engine).write([Record(session_id, message(session_id, 20), "a")])
    audit.forget([0])
    await batch(audit, session_id, *run("a", 21, 22))
    assert (audit.missing_total, audit.duplicates_total) == (0, 0)


async def test_old_sessions_are_forgotten_and_found_by_their_marks(engine: AsyncEngine) -> None:
    """Of many sessions the last few are remembered; the others are found again by their marks."""
    audit = Audit(Marks(engine), sessions_kept=3)
    sessions = await add_sessions(engine, 10)
    for seq in (1, 2):
        for session_id in sessions:
            await batch(audit, session_id, ("a", seq))
            await Writer(engine).write([Record(session_id, message(session_id, seq), "a")])
    assert len(audit._places[0]) == 3
    assert (audit.missing_total, audit.duplicates_total) == (0, 0)
    assert await rows(engine, "SELECT count(*) FROM messages") == [(20,)]


async def test_an_entry_with_no_real_session_id_is_audited(engine: AsyncEngine) -> None:
    """An entry whose session id is no UUID is audited like any other."""
    audit = Audit(Marks(engine))
    await batch(audit, "no uuid", ("a", 1))
    assert audit.missing_total == 0
