"""One batch, one transaction: events become rows of messages, users, sessions and marks. Imports nothing of Redis.

Every statement may be repeated: writing a batch again that was committed but not acknowledged has no effect.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.errors import DataError, PersistenceError, mapped
from persistence.rows import MessageColumns, Record, Rows, UserChange, rows_of

Result = TypeVar("Result")

# Why `unnest` and not COPY: docs/decisions/0001-writer.md.
_INSERT_MESSAGES = """
INSERT INTO messages (session_id, seq, id, user_id, user_name, text, timestamp, is_spirit)
SELECT * FROM unnest(
    $1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[], $8::bool[])
ON CONFLICT (session_id, seq) DO NOTHING
"""
_FIND_DISPLACED = """
SELECT given.place - 1
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) WITH ORDINALITY AS given (session_id, seq, id, place)
JOIN messages USING (session_id, seq)
WHERE messages.id <> given.id
ORDER BY 1
"""
# The latest join and the latest leave win in whatever order they come, so a batch written late changes nothing.
_MERGE_USERS = """
INSERT INTO users AS known (session_id, id, name, joined_at, left_at, is_removed)
SELECT given.session_id, given.id, given.name, given.joined_at,
    CASE WHEN given.joined_at > given.left_at THEN NULL ELSE given.left_at END, given.is_removed
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bool[])
    AS given (session_id, id, name, joined_at, left_at, is_removed)
ON CONFLICT (session_id, id) DO UPDATE SET
    name = excluded.name,
    joined_at = greatest(known.joined_at, excluded.joined_at),
    left_at = CASE
        WHEN greatest(known.joined_at, excluded.joined_at) > greatest(known.left_at, excluded.left_at) THEN NULL
        ELSE greatest(known.left_at, excluded.left_at)
    END,
    is_removed = known.is_removed OR excluded.is_removed
"""
_CLOSE_SESSIONS = "UPDATE sessions SET is_active = false WHERE id = ANY($1::uuid[]) AND is_active"
# Closing a session ends the stay of every user; no leave events follow.
_EMPTY_SESSIONS = """
UPDATE users SET left_at = given.closed_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS given (session_id, closed_at)
WHERE users.session_id = given.session_id AND users.left_at IS NULL
"""
# A later epoch begins above all earlier ones, so the highest seq alone decides.
_RAISE_MARKS = """
INSERT INTO session_marks AS known (session_id, epoch, seq)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])
ON CONFLICT (session_id) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq WHERE known.seq < excluded.seq
"""
_NOTE_REFUSED = "INSERT INTO refused_messages (session_id, seq) VALUES ($1::uuid, $2) ON CONFLICT DO NOTHING"


class Writer:
    """Writes batches through a pool; safe to use from several tasks at once."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def write(self, records: Sequence[Record]) -> tuple[int, ...]:
        """Write all records or, on an error, none.

        Returns the indexes of messages that were left out because another message has their (session_id, seq): a Redis
        that lost its newest data gives a seq twice, and neither message may vanish silently. Raises DataError when
        a record can't be written, DatabaseUnavailableError and other PersistenceErrors when none can.
        """
        rows = rows_of(records)
        return await self._through_driver(lambda driver: _write(driver, rows))

    async def note_refused(self, session_id: str, seq: int) -> None:
        """Remember that the message with this seq will have no row. Raises as `write` does."""
        await self._through_driver(lambda driver: driver.execute(_NOTE_REFUSED, session_id, seq))

    async def _through_driver(self, work: "Callable[[asyncpg.Connection[Any]], Awaitable[Result]]") -> Result:
        with mapped():
            async with self._engine.connect() as connection:
                try:
                    with mapped():
                        return await work(await _driver(connection))
                except DataError:
                    raise
                except PersistenceError:
                    # SQLAlchemy did not see the error of the connection, which must not go back to the pool.
                    await connection.invalidate()
                    raise


async def _driver(connection: AsyncConnection) -> "asyncpg.Connection[Any]":
    """The connection of asyncpg below: it takes arrays as they are, and its answer says how many rows were new."""
    raw = await connection.get_raw_connection()
    return cast("asyncpg.Connection[Any]", raw.driver_connection)


async def _write(connection: "asyncpg.Connection[Any]", rows: Rows) -> tuple[int, ...]:
    displaced: tuple[int, ...] = ()
    async with connection.transaction():
        if rows.messages.place:
            displaced = await _write_messages(connection, rows.messages)
        if rows.users:
            await _merge_users(connection, rows.users)
        if rows.closed:
            await _close_sessions(connection, rows.closed)
        if rows.furthest:
            await _raise_marks(connection, rows.furthest)
    return displaced


async def _write_messages(connection: "asyncpg.Connection[Any]", columns: MessageColumns) -> tuple[int, ...]:
    place, *arrays = columns
    status = await connection.execute(_INSERT_MESSAGES, *arrays)
    if status == f"INSERT 0 {len(place)}":
        return ()
    displaced = await connection.fetch(_FIND_DISPLACED, columns.session_id, columns.seq, columns.id)
    return tuple(place[found[0]] for found in displaced)


async def _raise_marks(connection: "asyncpg.Connection[Any]", furthest: dict[str, Record]) -> None:
    # In one order everywhere, as for the users.
    records = [furthest[session_id] for session_id in sorted(furthest)]
    await connection.execute(
        _RAISE_MARKS,
        [record.session_id for record in records],
        [record.epoch for record in records],
        [record.event.seq for record in records],
    )


async def _close_sessions(connection: "asyncpg.Connection[Any]", closed: dict[str, datetime]) -> None:
    session_ids = sorted(closed)
    await connection.execute(_CLOSE_SESSIONS, session_ids)
    await connection.execute(_EMPTY_SESSIONS, session_ids, [closed[session_id] for session_id in session_ids])


async def _merge_users(connection: "asyncpg.Connection[Any]", users: dict[tuple[str, str], UserChange]) -> None:
    # In one order everywhere, so that two transactions never wait for each other's rows.
    ordered = sorted(users.items())
    await connection.execute(
        _MERGE_USERS,
        [session_id for (session_id, _), _ in ordered],
        [user_id for (_, user_id), _ in ordered],
        [change.name for _, change in ordered],
        [change.joined_at for _, change in ordered],
        [change.left_at for _, change in ordered],
        [change.is_removed for _, change in ordered],
    )
