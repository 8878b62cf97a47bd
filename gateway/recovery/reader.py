"""Reads the events that clients missed, page by page: from the session's log, or from Postgres below the log."""

import asyncio
from collections.abc import Sequence
from operator import attrgetter

import msgspec

from broker.events import Message, instant, message_received
from broker.sessions.event_log import Event, EventKind, EventLog
from broker.sessions.live_sessions import LiveSessions, Seat, SessionInfo
from gateway.protocol import server_events
from gateway.protocol.commands import Resume
from gateway.protocol.server_events import Resumed
from gateway.recovery.cursor import UNBOUNDED, Cursor
from persistence.messages import MessageRecord, Messages

PAGE_EVENTS = 256
# How many pages are read at the same time, however many clients resume: the limits bound the memory of the pages, and
# leave most database connections to other queries. With two limits a hanging Postgres does not delay reads of the log.
LOG_READS = 16
HISTORY_READS = 4
# So many missed messages are counted. To count five million takes Postgres seconds, in which others wait for it.
MISSED_EXACT = 10_000


class NotCommittedError(Exception):
    """The log lacks events that are not in Postgres yet. The client may retry after the worker has caught up."""


class Plan(msgspec.Struct, frozen=True):
    """How a joining client recovers: `resumed` for its welcome, the first missed events, the cursor after these."""

    resumed: Resumed
    cursor: Cursor
    events: Sequence[Event] = ()

    @property
    def is_read(self) -> bool:
        """Whether the plan needed a read from a store."""
        return bool(self.events) or self.resumed.source == "history"


def cursor_after(info: SessionInfo, seq: int, roster_seq: int = 0) -> Cursor:
    """Make the cursor of a client that has every event up to `seq`, and a roster as of event `roster_seq`."""
    # Under `summary` presence all sequenced events are messages, except `session_closed`.
    return Cursor(seq, messages_until=UNBOUNDED if info.presence == "summary" else roster_seq)


class RecoveryReader:
    """Reads from both stores. Every method raises BrokerUnavailableError or DatabaseUnavailableError."""

    def __init__(self, log: EventLog, sessions: LiveSessions, messages: Messages) -> None:
        self._log = log
        self._sessions = sessions
        self._messages = messages
        self._log_reads = asyncio.Semaphore(LOG_READS)
        self._history_reads = asyncio.Semaphore(HISTORY_READS)

    async def plan(self, info: SessionInfo, seat: Seat, resume: Resume | None) -> Plan:
        """Plan the recovery of a client that has just got this seat. Raises NotCommittedError."""
        if resume is None or resume.epoch != seat.epoch or not 0 <= resume.seq <= seat.seq:
            return Plan(Resumed(), cursor_after(info, seat.seq))
        if resume.seq == seat.seq:
            return Plan(Resumed(recovered=True, source="log"), cursor_after(info, seat.seq))
        page = await self._read_log(info.id, resume.seq, seat.seq)
        cursor = cursor_after(info, resume.seq, seat.seq)
        events = cursor.took_log(page, PAGE_EVENTS, known_seq=seat.seq)
        if events:
            resumed = Resumed(recovered=True, source="log", missed=seat.seq - resume.seq)
            return Plan(resumed, cursor_after(info, cursor.seq), events)
        return Plan(await self._resumed_from_history(info.id, cursor, seat.seq), cursor)

    async def next(self, session_id: str, cursor: Cursor, known_seq: int) -> Sequence[Event]:
        """Read the next page (PAGE_EVENTS events at most), and move the cursor past the page. Raises OutrunError.

        Between messages of Postgres a `gap` stands for those that Postgres refused for good.
        """
        if cursor.history is None:
            page = await self._read_log(session_id, cursor.seq)
            return cursor.took_log(page, PAGE_EVENTS, known_seq=known_seq)
        after, before = cursor.history
        async with self._history_reads:
            records = await self._messages.between(session_id, after, before, limit=PAGE_EVENTS)
            cursor.took_history([record.seq for record in records], PAGE_EVENTS)
            refused = await self._messages.refused(session_id, after, cursor.seq + 1)
        events = [_payload(record) for record in records]
        gaps = [Event(last, EventKind.OTHER, "-", server_events.gap(first, last)) for first, last in refused]
        return sorted([*events, *gaps], key=attrgetter("seq")) if gaps else events

    async def _read_log(self, session_id: str, after: int, last: int | None = None) -> list[Event]:
        async with self._log_reads:
            return await self._log.range(session_id, after + 1, last, limit=PAGE_EVENTS)

    async def _resumed_from_history(self, session_id: str, cursor: Cursor, last: int) -> Resumed:
        """Count the events up to `last` that the cursor will find, up to a limit. Raises NotCommittedError."""
        assert cursor.history is not None
        after, before = cursor.history
        position = await self._sessions.position(session_id)
        # The log is trimmed only up to the watermark; a lower watermark shows that Redis lost the log.
        if position is None or position.persisted < before - 1:
            raise NotCommittedError
        async with self._history_reads:
            stored = await self._messages.count(session_id, after, before, limit=MISSED_EXACT + 1)
        missed = stored + last - before + 1
        if stored > MISSED_EXACT:
            return Resumed(recovered=True, source="history", missed=None, missed_at_least=missed)
        return Resumed(recovered=True, source="history", missed=missed)


def _payload(record: MessageRecord) -> Event:
    message = Message(
        id=record.id,
        session_id=record.session_id,
        user_id=record.user_id,
        user_name=record.user_name,
        text=record.text,
        timestamp=instant(record.timestamp),
        is_spirit=record.is_spirit,
    )
    return Event(record.seq, EventKind.MESSAGE, record.user_id or "-", message_received(record.seq, message))
