"""Finds sessions: in Redis, which has the hot state, else in Postgres, from which the hot state is rebuilt."""

import asyncio

from broker.errors import BrokerUnavailableError
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

    async def has_password(self, session_id: str) -> bool | None:
        """Whether the session has a password; None when there is no such session. Postgres does while Redis is away."""
        try:
            info = await self._live.info(session_id)
        except BrokerUnavailableError:
            info = None
        if info is not None:
            return info.password_hash is not None
        record = await self._stored.get(session_id)
        return None if record is None else record.password_hash is not None

    async def is_removed(self, session_id: str, user_id: str) -> bool:
        """Whether the host removed the user from the session; as far as Postgres knows while Redis is away."""
        try:
            is_removed = await self._live.is_removed(session_id, user_id)
        except BrokerUnavailableError:
            is_removed = None
        return await self._stored.is_removed(session_id, user_id) if is_removed is None else is_removed

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
            info,
            is_active=recorded.is_active,
            max_seq=recorded.seq,
            removed_user_ids=recorded.removed_user_ids,
            bans=recorded.bans,
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
