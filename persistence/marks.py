"""Marks: how far each session had come when the worker last wrote one of its events. Redis must never fall behind.

A mark is written in the transaction of the batch it stands for (`writer.py`), so it never runs ahead of the rows.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.sessions.epochs import Mark
from persistence.errors import mapped
from persistence.tables import SessionMarkRow

_COLUMNS = (SessionMarkRow.session_id, SessionMarkRow.epoch, SessionMarkRow.seq)


class Marks:
    """Queries about marks. Every method raises DatabaseUnavailableError when Postgres can't answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def of(self, session_ids: Collection[str]) -> list[Mark]:
        """The marks of those of these sessions that have one."""
        keys = [key for session_id in session_ids if (key := _uuid_or_none(session_id)) is not None]
        statement = select(*_COLUMNS).where(SessionMarkRow.session_id.in_(keys))
        with mapped():
            async with self._engine.connect() as connection:
                found = (await connection.execute(statement)).all()
        return [Mark(str(session_id), epoch, seq) for session_id, epoch, seq in found]


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
