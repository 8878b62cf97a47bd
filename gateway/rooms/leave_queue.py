"""Leaves of this gateway's connections: each is sent to Redis, and sent again after an outage of Redis."""

import asyncio
from functools import partial

import msgspec
import structlog

from broker.errors import BrokerUnavailableError
from broker.events import User
from broker.sessions.live_sessions import LeaveOutcome, LiveSessions

log = structlog.get_logger()


class PendingLeave(msgspec.Struct, frozen=True):
    """A connection that gives up its seat. With `is_lost` Redis keeps the seat for the resume grace time."""

    session_id: str
    user_id: str
    connection_id: str
    is_lost: bool


class LeaveQueue:
    """The leaves that Redis has not confirmed yet."""

    def __init__(self, sessions: LiveSessions) -> None:
        self._sessions = sessions
        self._under_way: set[PendingLeave] = set()
        self._failed: set[PendingLeave] = set()
        self._settled = asyncio.Event()

    def leave(self, session_id: str, user: User, connection_id: str, *, is_lost: bool) -> None:
        """Give up the connection's seat: now, or when Redis is back."""
        assert user.id is not None
        self._send(PendingLeave(session_id, user.id, connection_id, is_lost))

    def retry(self) -> None:
        """Send the failed leaves again; call this when Redis is back."""
        failed, self._failed = self._failed, set()
        for leave in failed:
            self._send(leave)

    async def settle(self) -> None:
        """Wait until no leave is under way: Redis has confirmed each, or each has failed and waits for `retry`."""
        while self._under_way:
            self._settled.clear()
            await self._settled.wait()

    def _send(self, leave: PendingLeave) -> None:
        self._under_way.add(leave)
        answer = self._sessions.leave(
            leave.session_id,
            leave.user_id,
            connection=leave.connection_id,
            is_lost=leave.is_lost,
        )
        answer.add_done_callback(partial(self._answered, leave))

    def _answered(self, leave: PendingLeave, answer: "asyncio.Future[LeaveOutcome]") -> None:
        self._under_way.discard(leave)
        error = answer.exception()
        if isinstance(error, BrokerUnavailableError):
            self._failed.add(leave)
        elif error is not None:
            log.error("leave.failed", session_id=leave.session_id, reason=str(error))
        if not self._under_way:
            self._settled.set()
