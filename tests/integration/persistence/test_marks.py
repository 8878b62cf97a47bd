"""How far each session has come, in Postgres: written with the batch, read when Redis is checked."""

from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.events import Empty, SessionClosed, Stored, instant
from broker.sessions.epochs import Mark
from broker.sessions.recorded import Recorded
from persistence.errors import DataError
from persistence.marks import Marks
from persistence.rows import Record
from persistence.sessions import StoredSessions
from persistence.writer import Writer
from tests.stream_fixtures import add_sessions, joined, left, message

ANA = "7c0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a03"


async def write(engine: AsyncEngine, session_id: str, *events: Stored, epoch: str = "a") -> None:
    """Write these events of one session as a batch."""
    assert await Writer(engine).write([Record(session_id, event, epoch) for event in events]) == ()


async def test_a_mark_is_the_highest_seq_of_a_batch(engine: AsyncEngine) -> None:
    """Every event with a seq counts, in any order; an event without seq leaves no mark."""
    one, two, three = await add_sessions(engine, 3)
    await write(engine, one, message(one, 5), joined(ANA, "Ana", seq=7), message(one, 6), left(ANA, "Ana"))
    await write(engine, two, SessionClosed(instant(), Empty(), 9))
    await write(engine, three, joined(ANA, "Ana"))
    found = await Marks(engine).of([one, two, three, str(uuid4()), "no uuid"])
    assert {mark.session_id: mark for mark in found} == {one: Mark(one, "a", 7), two: Mark(two, "a", 9)}


async def test_a_mark_only_rises(engine: AsyncEngine) -> None:
    """A batch that is written late or twice changes nothing; a later epoch is the one with the higher seq."""
    (session_id,) = await add_sessions(engine, 1)
    for epoch, seq in [("a", 5), ("a", 3), ("b", 2_000_001), ("a", 6), ("b", 2_000_001)]:
        await write(engine, session_id, joined(ANA, "Ana", seq=seq), epoch=epoch)
    assert await Marks(engine).of([session_id]) == [Mark(session_id, "b", 2_000_001)]


async def test_a_refused_batch_raises_no_mark(engine: AsyncEngine) -> None:
    """A batch that is refused raises no mark."""
    (session_id,) = await add_sessions(engine, 1)
    good, bad = message(session_id, 1), message(session_id, 2, text="a\0b")
    with pytest.raises(DataError):
        await Writer(engine).write([Record(session_id, event, "a") for event in (good, bad)])
    assert await Marks(engine).of([session_id]) == []


@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("is_stored", [True, False])
async def test_hot_state_begins_above_mark_and_messages(engine: AsyncEngine, is_marked: bool, is_stored: bool) -> None:
    """Rebuilt hot state begins above the mark (the last seq may be a join), and above every message."""
    (session_id,) = await add_sessions(engine, 1)
    if is_stored:
        await Writer(engine).write([Record(session_id, message(session_id, 3), "a")])
    if is_marked:
        await write(engine, session_id, joined(ANA, "Ana", seq=8))
    expected = 8 if is_marked else 3 if is_stored else 0
    assert await StoredSessions(engine).recorded([session_id]) == [Recorded(session_id, expected, is_active=True)]
