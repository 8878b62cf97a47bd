"""Session → room: rooms are made for the first user that comes to this gateway, and dropped after the last."""

import asyncio
from collections.abc import Callable

from broker.pubsub.subscriber import Subscriber
from broker.redis.connection import Reply
from broker.sessions.event_log import EventLog, parse
from broker.sessions.live_sessions import LiveSessions, SessionInfo
from gateway.counters import Counters
from gateway.protocol.close_codes import Ending
from gateway.rooms.outbox import Outbox
from gateway.rooms.room import Room


class Hub:
    """All rooms of one gateway; listens to the subscriber."""

    def __init__(self, subscriber: Subscriber, sessions: LiveSessions, log: EventLog, counters: Counters) -> None:
        self._subscriber = subscriber
        self._sessions = sessions
        self._log = log
        self._counters = counters
        self._stopwatch = counters.stopwatch
        self._loop = asyncio.get_running_loop()
        self._rooms: dict[bytes, Room] = {}
        self._due: list[Outbox] = []
        self._others: dict[bytes, Callable[[bytes], None]] = {}
        self.is_reading = False
        self.events_total = 0
        self.deliveries_total = 0
        self.delivered_bytes_total = 0
        subscriber.listener = self

    @property
    def room_count(self) -> int:
        """How many sessions have somebody here."""
        return len(self._rooms)

    def rooms(self) -> list[Room]:
        """Every room here."""
        return list(self._rooms.values())

    def info(self, session_id: str) -> SessionInfo | None:
        """What never changes about a session, when it has somebody here."""
        room = self._rooms.get(self._channel(session_id))
        return room.info if room is not None else None

    async def enter(self, info: SessionInfo) -> Room:
        """The session's room, subscribed to its channel, with one more join under way; call `left` when that is over.

        Raises BrokerUnavailableError.
        """
        channel = self._channel(info.id)
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = Room(info, self)
        room.expect()
        try:
            await self._subscriber.subscribe(channel)
        except BaseException:
            self.left(room)
            raise
        return room

    def left(self, room: Room) -> None:
        """A join under way has ended."""
        room.joined()
        self.drop_if_empty(room)

    def drop_if_empty(self, room: Room) -> None:
        """Hear no more of a session that nobody here is in."""
        channel = self._channel(room.info.id)
        if room.is_empty and self._rooms.get(channel) is room:
            del self._rooms[channel]
            room.shut()
            self._subscriber.unsubscribe(channel)

    def listen(self, channel: bytes, heard: Callable[[bytes], None]) -> None:
        """Pass on what a channel brings that is no session's; the caller subscribes."""
        self._others[channel] = heard

    def end_all(self, ending: Ending) -> None:
        """Close every joined connection."""
        for room in self.rooms():
            room.end_all(ending)

    def _channel(self, session_id: str) -> bytes:
        return self._sessions.key(session_id).encode()

    # Listener

    def heard(self, channel: bytes, payload: bytes) -> None:
        """A message arrived on a channel."""
        room = self._rooms.get(channel)
        if room is not None:
            room.heard(parse(payload))
            if self._stopwatch.awaited is not None:
                self._stopwatch.heard(payload)
        elif channel in self._others:
            self._others[channel](payload)

    def start_of_read(self) -> None:
        """Replies and events follow."""
        self.is_reading = True

    def end_of_read(self) -> None:
        """Everything that arrived at once was handed out: it leaves in this loop tick."""
        self.is_reading = False
        self._flush()

    def resubscribed(self, channel: bytes) -> None:
        """The channel was not heard for a while."""
        room = self._rooms.get(channel)
        if room is not None:
            room.catch_up()

    # Desk

    def ask_log(self, session_id: str, first: int) -> "asyncio.Future[Reply]":
        """Events from `first` on, at most a page."""
        self._counters.log_reads += 1
        return self._log.send_range(session_id, first)

    def ask_position(self, session_id: str) -> "asyncio.Future[Reply]":
        """Epoch, last seq and persisted watermark of the session's hot state."""
        return self._sessions.send_position(session_id)

    def fence(self, session_id: str, *, epoch: str, seen: int, is_rewritten: bool) -> "asyncio.Future[Reply]":
        """Give the session another epoch: Redis is behind `seen`, or holds something else there."""
        return self._sessions.send_fence(session_id, epoch=epoch, seen=seen, is_rewritten=is_rewritten)

    def ask_seats(self, session_id: str, user_ids: list[str]) -> "asyncio.Future[Reply]":
        """The users' seats as they are stored, in order."""
        return self._sessions.send_seats(session_id, user_ids)

    def schedule(self, outbox: Outbox) -> None:
        """Flush it once everything that came along is there."""
        if not self._due and not self.is_reading:
            self._loop.call_soon(self._flush)
        self._due.append(outbox)

    def _flush(self) -> None:
        due, self._due = self._due, []
        for outbox in due:
            outbox.flush()

    def count(self, events: int, deliveries: int, delivered_bytes: int) -> None:
        """Keep the totals."""
        self.events_total += events
        self.deliveries_total += deliveries
        self.delivered_bytes_total += delivered_bytes

    def count_gap(self, events: int) -> None:
        """So many events could not be had here."""
        self._counters.gap_events += events
