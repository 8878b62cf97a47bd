"""Finds sessions: in Redis, which has the hot state, else in Postgres, from which the hot state is rebuilt."""

import asyncio

from broker.events import instant
from broker.sessions.live_sessions import LiveSessions, SessionInfo
from persistence.sessions import SessionRecord, StoredSessions


class Directory:
    """Looks sessions up. Every method raises BrokerUnavailableError and DatabaseUnavailableError."""

    def __init__(self, live: LiveSessions, stored: StoredSessions) -> None:
        self._live = live
        self._stored = stored
        self._opening: dict[str, asyncio.Task[SessionInfo | None]] = {}

    async def get(self, session_id: str) -> SessionInfo | None:
        """The session, whose hot state is then in Redis, or None when there is no such session."""
        return await self._live.info(session_id) or await self.open(session_id)

    async def created(self, record: SessionRecord) -> None:
        """Make the hot state of a new session; its last seq is 0."""
        await self._live.open(_info(record))

    async def open(self, session_id: str) -> SessionInfo | None:
        """Rebuild the session's hot state from Postgres; concurrent calls for one session share one read."""
        task = self._opening.get(session_id)
        if task is None:
            task = asyncio.create_task(self._open(session_id), name=f"open {session_id}")
            self._opening[session_id] = task
            task.add_done_callback(lambda _: self._opening.pop(session_id))
        return await asyncio.shield(task)

    async def _open(self, session_id: str) -> SessionInfo | None:
        record = await self._stored.get(session_id)
        if record is None:
            return None
        [recorded] = await self._stored.recorded([record.id])
        info = _info(record)
        await self._live.open(
            info, is_active=recorded.is_active, max_seq=recorded.seq, removed_user_ids=recorded.removed_user_ids
        )
        return info


def _info(record: SessionRecord) -> SessionInfo:
    return SessionInfo(
        id=record.id,
        name=record.name,
        created_at=instant(record.created_at),
        max_users=record.max_users,
        presence=record.presence,
        spirit=record.spirit,
        password_hash=record.password_hash,
        slow_consumers=record.slow_consumers,
        multiple_connections=record.multiple_connections,
    )
