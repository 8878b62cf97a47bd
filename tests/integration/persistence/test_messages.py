"""The history of a session in a real Postgres."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.messages import MessagePage, MessageRecord, Messages
from persistence.rows import Record
from persistence.writer import Writer
from tests.stream_fixtures import add_sessions, message

# Joins and leaves take seqs too, so those of messages have holes.
SEQS = [2, 3, 5, 8, 13, 21, 34]


@pytest.fixture
async def session_id(engine: AsyncEngine) -> str:
    """A session with seven messages, beside another with one."""
    first, second = await add_sessions(engine, 2)
    await Writer(engine).write([Record(first, message(first, seq)) for seq in SEQS])
    await Writer(engine).write([Record(second, message(second, 4))])
    return first


@pytest.mark.parametrize(
    ("bounds", "limit", "page"),
    [
        ((None, None), 50, (SEQS, None, None)),
        ((None, None), 7, (SEQS, None, None)),
        ((None, None), 3, ([13, 21, 34], 13, None)),
        ((13, None), 3, ([3, 5, 8], 3, 8)),
        ((3, None), 3, ([2], None, 2)),
        ((2, None), 3, ([], None, None)),
        ((None, 0), 3, ([2, 3, 5], None, 5)),
        ((None, 5), 2, ([8, 13], 8, 13)),
        ((None, 13), 5, ([21, 34], 21, None)),
        ((None, 34), 5, ([], None, None)),
        ((21, 3), 2, ([5, 8], 5, 8)),
        ((21, 3), 9, ([5, 8, 13], 5, 13)),
        ((10**30, None), 1, ([34], 34, None)),
        ((None, 10**30), 1, ([], None, None)),
        ((None, -(10**30)), 1, ([2], None, 2)),
    ],
)
async def test_a_page_holds_what_was_asked_for(
    engine: AsyncEngine,
    session_id: str,
    bounds: tuple[int | None, int | None],
    limit: int,
    page: tuple[list[int], int | None, int | None],
) -> None:
    """Items ascend, the newest page comes first, and a bound is given exactly when more is stored on that side."""
    before, after = bounds
    found = await Messages(engine).page(session_id, before=before, after=after, limit=limit)
    assert ([item.seq for item in found.items], found.next_before, found.next_after) == page


@pytest.mark.parametrize(
    ("bounds", "limit", "seqs"),
    [
        ((0, 99), 50, SEQS),
        ((2, 34), 50, [3, 5, 8, 13, 21]),
        ((2, 34), 2, [3, 5]),
        ((3, 5), 50, []),
        ((34, 99), 50, []),
        ((-1, 10**30), 50, SEQS),
    ],
)
async def test_a_range_and_its_count_are_limited(
    engine: AsyncEngine, session_id: str, bounds: tuple[int, int], limit: int, seqs: list[int]
) -> None:
    """A range is given from its oldest message on; a count ends at its limit."""
    after, before = bounds
    messages = Messages(engine)
    found = await messages.between(session_id, after, before, limit=limit)
    assert [record.seq for record in found] == seqs
    counted = [await messages.count(session_id, after, before, limit=most) for most in (99, 1)]
    there = len([seq for seq in SEQS if after < seq < before])
    assert counted == [there, min(there, 1)]


async def test_following_the_bounds_visits_every_message_once(engine: AsyncEngine, session_id: str) -> None:
    """Going back page by page from the newest finds every message once."""
    seen: list[int] = []
    before: int | None = None
    while True:
        page = await Messages(engine).page(session_id, before=before, limit=2)
        seen = [item.seq for item in page.items] + seen
        if (before := page.next_before) is None:
            break
    assert seen == SEQS


async def test_a_record_is_what_was_published(engine: AsyncEngine) -> None:
    """Every field comes back as it was sent, emoji and line breaks included; a server's message has no user."""
    (session_id,) = await add_sessions(engine, 1)
    moment = datetime(2026, 11, 22, 21, 5, 0, 123000, tzinfo=UTC)
    ids, ana = [str(uuid4()), str(uuid4())], str(uuid4())
    await Writer(engine).write(
        [
            Record(session_id, message(session_id, 1, id=ids[0], text="hi 😀\n\t\"'\\", user_id=ana, moment=moment)),
            Record(session_id, message(session_id, 2, id=ids[1], text="ho", user_name="Séance", moment=moment)),
        ]
    )
    assert await Messages(engine).page(session_id) == MessagePage(
        (
            MessageRecord(1, ids[0], session_id, ana, "Ana", "hi 😀\n\t\"'\\", moment, False),
            MessageRecord(2, ids[1], session_id, None, "Séance", "ho", moment, False),
        ),
        None,
        None,
    )


@pytest.mark.parametrize("unknown", ["9d1f4e0e-8f0c-4a43-9c5b-0d8e3b8a6d11", "no uuid"])
async def test_an_unknown_session_has_no_history(engine: AsyncEngine, unknown: str) -> None:
    """Asking for the history of nothing gives an empty page."""
    assert await Messages(engine).page(unknown) == MessagePage((), None, None)
