"""Seats that were given up here: each is told to Redis, again and again while Redis is away."""

import asyncio
from functools import partial

import msgspec
import structlog

from broker.errors import BrokerUnavailableError
from broker.events import User
from broker.redis.connection import Reply
from broker.sessions.live_sessions import LiveSessions

log = structlog.get_logger()


class PendingLeave(msgspec.Struct, frozen=True):
    """A seat that its connection gives up; `is_lost` keeps it for the grace time."""

    session_id: str
    user_id: str
    connection_id: str
    is_lost: bool


class LeaveQueue:
    """Departures that Redis has not confirmed yet."""

    def __init__(self, sessions: LiveSessions) -> None:
        self._sessions = sessions
        self._under_way: set[PendingLeave] = set()
        self._failed: set[PendingLeave] = set()
        self._settled = asyncio.Event()

    def leave(self, session_id: str, user: User, connection_id: str, *, is_lost: bool) -> None:
        """Give the seat up."""
        assert user.id is not None
        self._send(PendingLeave(session_id, user.id, connection_id, is_lost))

    def retry(self) -> None:
        """Redis may be back: tell it again."""
        failed, self._failed = self._failed, set()
        for departure in failed:
            self._send(departure)

    async def settle(self) -> None:
        """Return once Redis has confirmed everything that it can be told now."""
        while self._under_way:
            self._settled.clear()
            await self._settled.wait()

    def _send(self, departure: PendingLeave) -> None:
        self._under_way.add(departure)
        answer = self._sessions.send_leave(
            departure.session_id,
            departure.user_id,
            connection=departure.connection_id,
            is_lost=departure.is_lost,
        )
        answer.add_done_callback(partial(self._answered, departure))

    def _answered(self, departure: PendingLeave, answer: "asyncio.Future[Reply]") -> None:
        self._under_way.discard(departure)
        error = answer.exception()
        if isinstance(error, BrokerUnavailableError):
            self._failed.add(departure)
        elif error is not None:
            log.error("departure.failed", session_id=departure.session_id, reason=str(error))
        if not self._under_way:
            self._settled.set()
