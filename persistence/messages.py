"""The history of a session, page by page."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Row, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.errors import mapped
from persistence.tables import MessageRow, RefusedMessageRow

_COLUMNS = MessageRow.__table__.c
_REFUSED = RefusedMessageRow.__table__.c
_MAX_BIGINT = 2**63 - 1


class MessageRecord(msgspec.Struct, frozen=True):
    """A message as stored; `timestamp` is UTC, `user_id` None when a server published it."""

    seq: int
    id: str
    session_id: str
    user_id: str | None
    user_name: str
    text: str
    timestamp: datetime
    is_spirit: bool


class MessagePage(msgspec.Struct, frozen=True):
    """Messages in ascending `seq`; the bounds of the next pages, None where no more are stored on that side."""

    items: tuple[MessageRecord, ...]
    next_before: int | None
    next_after: int | None


class Messages:
    """Queries about messages. Every method raises DatabaseUnavailableError when Postgres can't answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(
        self, session_id: str, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> MessagePage:
        """At most `limit` messages with `after` < seq < `before`.

        With `after` the oldest of these, else the newest; an unknown session has none.
        """
        try:
            key = UUID(session_id)
        except ValueError:
            return MessagePage((), None, None)
        with mapped():
            async with self._engine.connect() as connection:
                rows = await _rows(connection, key, before, after, limit)
                if not rows:
                    return MessagePage((), None, None)
                first, last = rows[0].seq, rows[-1].seq
                has_older = await _has(connection, key, MessageRow.seq < first)
                has_newer = await _has(connection, key, MessageRow.seq > last)
        return MessagePage(
            items=tuple(map(_record, rows)),
            next_before=first if has_older else None,
            next_after=last if has_newer else None,
        )

    async def between(self, session_id: str, after: int, before: int, *, limit: int) -> list[MessageRecord]:
        """The first `limit` messages with `after` < seq < `before`, in ascending `seq`."""
        with mapped():
            async with self._engine.connect() as connection:
                return [_record(row) for row in await _rows(connection, UUID(session_id), before, after, limit)]

    async def refused(self, session_id: str, after: int, before: int) -> list[tuple[int, int]]:
        """The ranges (first, last) of seqs with `after` < seq < `before` whose messages Postgres refused for good."""
        seqs = (
            select(RefusedMessageRow.seq, (_REFUSED.seq - func.row_number().over(order_by=_REFUSED.seq)).label("run"))
            .where(
                RefusedMessageRow.session_id == UUID(session_id),
                RefusedMessageRow.seq > _bigint(after),
                RefusedMessageRow.seq < _bigint(before),
                # An operator's retry may have stored the message after all.
                ~exists().where(MessageRow.session_id == _REFUSED.session_id, MessageRow.seq == _REFUSED.seq),
            )
            .subquery()
        )
        first = func.min(seqs.c.seq)
        runs = select(first, func.max(seqs.c.seq)).group_by(seqs.c.run).order_by(first)
        with mapped():
            async with self._engine.connect() as connection:
                return [(low, high) for low, high in await connection.execute(runs)]

    async def count(self, session_id: str, after: int, before: int, *, limit: int) -> int:
        """How many messages have `after` < seq < `before`; `limit` when there are more, since counting takes time."""
        found = select(MessageRow.seq).where(
            MessageRow.session_id == UUID(session_id), MessageRow.seq > _bigint(after), MessageRow.seq < _bigint(before)
        )
        counted = select(func.count()).select_from(found.limit(limit).subquery())
        with mapped():
            async with self._engine.connect() as connection:
                return int((await connection.execute(counted)).scalar_one())


async def _rows(
    connection: AsyncConnection, session_id: UUID, before: int | None, after: int | None, limit: int
) -> list[Row[Any]]:
    statement = select(*_COLUMNS).where(MessageRow.session_id == session_id).limit(limit)
    if before is not None:
        statement = statement.where(MessageRow.seq < _bigint(before))
    if after is None:
        statement = statement.order_by(MessageRow.seq.desc())
        return list(reversed((await connection.execute(statement)).all()))
    statement = statement.where(MessageRow.seq > _bigint(after)).order_by(MessageRow.seq)
    return list((await connection.execute(statement)).all())


def _bigint(number: int) -> int:
    return max(-_MAX_BIGINT, min(number, _MAX_BIGINT))


async def _has(connection: AsyncConnection, session_id: UUID, condition: ColumnElement[bool]) -> bool:
    found = select(exists().where(MessageRow.session_id == session_id, condition))
    return bool((await connection.execute(found)).scalar_one())


def _record(row: Row[Any]) -> MessageRecord:
    return MessageRecord(
        seq=row.seq,
        id=str(row.id),
        session_id=str(row.session_id),
        user_id=None if row.user_id is None else str(row.user_id),
        user_name=row.user_name,
        text=row.text,
        timestamp=row.timestamp.astimezone(UTC),
        is_spirit=row.is_spirit,
    )
