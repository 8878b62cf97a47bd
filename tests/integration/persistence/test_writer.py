"""The writer on a real Postgres: all or nothing, any number of times, in any order."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.events import Empty, MessageReceived, SessionClosed, Stored, instant
from persistence.errors import DatabaseUnavailableError, DataError
from persistence.rows import Record
from persistence.writer import Writer
from tests.stream_fixtures import add_sessions, joined, left, message, rows
from tests.waiting import eventually

ANA = "7c0b1d3e-0f55-4f4e-9d7c-0a7f3a3a6a03"
BEN = "8d1c2e4f-1a66-4a5f-8e8d-1b8a4b4b7b14"
START = datetime(2026, 11, 22, 21, 5, tzinfo=UTC)


@pytest.fixture
async def session_id(engine: AsyncEngine) -> str:
    """A session."""
    (one,) = await add_sessions(engine, 1)
    return one


def at(second: int) -> datetime:
    """So many seconds after the start."""
    return START + timedelta(seconds=second)


async def stored_seqs(engine: AsyncEngine) -> list[int]:
    """The seqs of all messages."""
    return [seq for (seq,) in await rows(engine, "SELECT seq FROM messages ORDER BY seq")]


async def test_a_batch_written_twice_is_there_once(engine: AsyncEngine, session_id: str) -> None:
    """Repeating a batch, as after a lost acknowledgement, changes nothing and names no message as displaced."""
    batch = [Record(session_id, message(session_id, seq)) for seq in range(1, 101)]
    batch += [
        Record(session_id, joined(ANA, "Ana", at(0))),
        Record(session_id, SessionClosed(instant(), Empty(), 101)),
    ]
    writer = Writer(engine)
    assert await writer.write(batch) == ()
    before = await rows(engine, "SELECT * FROM messages ORDER BY seq")
    assert await writer.write(batch) == ()
    assert await writer.write(batch[50:]) == ()
    assert await rows(engine, "SELECT * FROM messages ORDER BY seq") == before
    assert await rows(engine, "SELECT is_active FROM sessions") == [(False,)]
    assert await rows(engine, "SELECT name FROM users") == [("Ana",)]


async def test_two_workers_may_write_the_same_batch_at_once(engine: AsyncEngine, session_id: str) -> None:
    """Two workers with the same entries neither fail nor wait for each other for ever."""
    users = [str(uuid4()) for _ in range(50)]
    batch = [Record(session_id, message(session_id, seq)) for seq in range(1, 51)]
    people = [Record(session_id, joined(user, "Ana", at(1))) for user in users]
    await asyncio.gather(
        *(Writer(engine).write([*batch, *order]) for order in (people, people[::-1], people[25:] + people[:25]))
    )
    assert await stored_seqs(engine) == list(range(1, 51))
    assert await rows(engine, "SELECT count(*) FROM users") == [(50,)]


async def test_a_seq_given_out_twice_is_noticed(engine: AsyncEngine, session_id: str) -> None:
    """Two different messages with one seq: the first stays, and the place of the other is returned."""
    first, second = message(session_id, 5, text="first"), message(session_id, 5, text="second")
    assert await Writer(engine).write([Record(session_id, first)]) == ()
    batch = [Record(session_id, event) for event in (joined(ANA, "Ana"), message(session_id, 6), first, second)]
    assert await Writer(engine).write(batch) == (3,)
    assert await rows(engine, "SELECT seq, text FROM messages ORDER BY seq") == [(5, "first"), (6, "hello")]


async def test_a_message_needs_no_row_of_its_user(engine: AsyncEngine, session_id: str) -> None:
    """A message whose author was never stored is stored all the same."""
    await Writer(engine).write([Record(session_id, message(session_id, 1, user_id=ANA))])
    assert await stored_seqs(engine) == [1]


def _bad(session_id: str) -> dict[str, tuple[str, Stored]]:
    good = message(session_id, 9)
    impossible = msgspec.structs.replace(good.data, timestamp="2026-02-30T00:00:00Z")
    return {
        "unknown session": (str(uuid4()), good),
        "session id that is no UUID": ("tuesday", good),
        "seq 0": (session_id, message(session_id, 0)),
        "seq of more than 64 bits": (session_id, message(session_id, 2**70)),
        "NUL in the text": (session_id, message(session_id, 9, text="a\0b")),
        "empty text": (session_id, message(session_id, 9, text="")),
        "name too long": (session_id, message(session_id, 9, user_name="a" * 51)),
        "id that is no UUID": (session_id, message(session_id, 9, id="nine")),
        "timestamp of no calendar": (session_id, MessageReceived(good.ts, impossible, 9)),
        "user of an unknown session": (str(uuid4()), joined(ANA, "Ana")),
        "user id that is no UUID": (session_id, joined("ana", "Ana")),
        "user without id": (session_id, joined(None, "Ana")),
        "user name too long": (session_id, left(ANA, "a" * 51)),
        "closed session that is no UUID": ("tuesday", SessionClosed(instant(), Empty())),
    }


@pytest.mark.parametrize("what", _bad("").keys())
async def test_one_bad_record_refuses_the_batch(engine: AsyncEngine, session_id: str, what: str) -> None:
    """Nothing of a batch with a bad record is stored, the reason quotes no value, and the writer works on."""
    where, event = _bad(session_id)[what]
    secret = message(session_id, 1, text="what Ana wrote")
    with pytest.raises(DataError) as caught:
        await Writer(engine).write([Record(session_id, secret), Record(where, event)])
    assert "Ana" not in caught.value.reason
    assert await stored_seqs(engine) == []
    await Writer(engine).write([Record(session_id, secret)])
    assert await stored_seqs(engine) == [1]


async def test_users_end_the_same_in_any_order(engine: AsyncEngine) -> None:
    """However late and in whatever order a user's changes are written, the latest join and leave decide."""
    changes: list[Stored] = [
        joined(ANA, "Ana", at(1)),
        left(ANA, "Ana", at(2), "removed"),
        joined(ANA, "Ana", at(3)),
        left(ANA, "Ana", at(4)),
    ]
    orders = list(permutations(changes))
    for session_id, order in zip(await add_sessions(engine, len(orders)), orders, strict=True):
        for event in order:
            await Writer(engine).write([Record(session_id, event)])
    found = await rows(engine, "SELECT DISTINCT name, joined_at, left_at, is_removed FROM users")
    assert found == [("Ana", at(3), at(4), True)]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([joined(ANA, "Ana", at(1))], (at(1), None, False)),
        ([joined(ANA, "Ana", at(1)), left(ANA, "Ana", at(2))], (at(1), at(2), False)),
        ([joined(ANA, "Ana", at(1)), left(ANA, "Ana", at(1))], (at(1), at(1), False)),
        ([left(ANA, "Ana", at(2), "removed")], (None, at(2), True)),
        ([left(ANA, "Ana", at(2)), joined(ANA, "Ana", at(1))], (at(1), at(2), False)),
        ([left(ANA, "Ana", at(2)), joined(ANA, "Ana", at(3))], (at(3), None, False)),
        ([left(ANA, "Ana", at(2), "removed"), joined(ANA, "Ana", at(3))], (at(3), None, True)),
        ([joined(ANA, "Ana", at(3)), left(ANA, "Ana", at(2), "lost")], (at(3), None, False)),
    ],
)
async def test_a_rejoin_counts_only_when_it_is_newer(
    engine: AsyncEngine, events: list[Stored], expected: tuple[Any, ...]
) -> None:
    """Whether in one batch or in several, only a join after the last leave makes the user present again."""
    one, several = await add_sessions(engine, 2)
    await Writer(engine).write([Record(one, event) for event in events])
    for event in events:
        await Writer(engine).write([Record(several, event)])
    assert await rows(engine, "SELECT joined_at, left_at, is_removed FROM users") == [expected, expected]


async def test_closing_an_unknown_session_changes_nothing(engine: AsyncEngine, session_id: str) -> None:
    """Only the session that was closed becomes inactive."""
    closed = SessionClosed(instant(), Empty())
    (other,) = await add_sessions(engine, 1)
    await Writer(engine).write([Record(str(uuid4()), closed), Record(other, closed)])
    found = await rows(engine, "SELECT id::text, is_active FROM sessions")
    assert set(found) == {(session_id, True), (other, False)}


async def test_closing_a_session_empties_it(engine: AsyncEngine, session_id: str) -> None:
    """Users who were still there left when the session was closed; users who had left before keep their time."""
    closed = SessionClosed("2026-11-22T22:00:00.000Z", Empty())
    batch: list[Stored] = [joined(ANA, "Ana", START), joined(BEN, "Ben", START), left(BEN, "Ben", START), closed]
    for _ in range(2):
        await Writer(engine).write([Record(session_id, event) for event in batch])
    found = dict(await rows(engine, "SELECT name, left_at FROM users"))
    assert found["Ana"] == datetime(2026, 11, 22, 22, tzinfo=UTC)
    assert found["Ben"] == START


async def test_a_cut_in_the_middle_leaves_nothing_half_written(engine: AsyncEngine, session_id: str) -> None:
    """When the connection is cut while a batch waits for a lock, nothing is stored; a repetition stores all."""
    batch = [Record(session_id, message(session_id, seq)) for seq in range(1, 11)]
    batch.append(Record(session_id, joined(ANA, "Ana")))
    async with engine.begin() as holder:
        await holder.execute(text("LOCK TABLE users IN ACCESS EXCLUSIVE MODE"))
        writing = asyncio.create_task(Writer(engine).write(batch))
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        await eventually(lambda: rows(engine, cut), what="a batch that waits for the lock")
        with pytest.raises(DatabaseUnavailableError):
            await writing
    assert await stored_seqs(engine) == []
    assert await Writer(engine).write(batch) == ()
    assert await stored_seqs(engine) == list(range(1, 11))
