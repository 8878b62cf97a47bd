"""Session → room: a room is made for the first user that comes to this gateway, and dropped after the last one."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from broker.pubsub.subscriber import Subscriber
from broker.sessions.event_log import parse
from broker.sessions.live_sessions import LiveSessions, SessionInfo
from gateway.counters import Counters
from gateway.protocol.close_codes import Ending
from gateway.rooms.driver import RoomDriver
from gateway.rooms.membership import Membership
from gateway.rooms.room import Room


class Hub:
    """All rooms of one gateway; the link hands it what the channels bring."""

    def __init__(self, subscriber: Subscriber, sessions: LiveSessions, driver: RoomDriver, counters: Counters) -> None:
        self._subscriber = subscriber
        self._sessions = sessions
        self._driver = driver
        self._relay_timer = counters.relay_timer
        self._rooms: dict[bytes, Room] = {}
        self._others: dict[bytes, Callable[[bytes], None]] = {}

    @property
    def room_count(self) -> int:
        """How many sessions have somebody here."""
        return len(self._rooms)

    def rooms(self) -> list[Room]:
        """Every room here."""
        return list(self._rooms.values())

    def info(self, session_id: str) -> SessionInfo | None:
        """What never changes about a session, when somebody of it is here."""
        room = self._rooms.get(self._channel(session_id))
        return room.info if room is not None else None

    @contextlib.asynccontextmanager
    async def joining(self, info: SessionInfo) -> AsyncIterator[Room]:
        """The session's room, subscribed to its channel, while a join is under way. Raises BrokerUnavailableError."""
        channel = self._channel(info.id)
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = Room(info)
        with self.kept(room):
            await self._subscriber.subscribe(channel)
            yield room

    @contextlib.contextmanager
    def kept(self, room: Room) -> Iterator[None]:
        """While a join is under way in the room: the room stays, and keeps recent events."""
        room.expect_join()
        try:
            yield
        finally:
            room.join_is_over()
            self._drop_if_empty(room)

    def leave(self, member: Membership) -> None:
        """The member gets nothing more; its room goes when it was the last one."""
        if member.recovery is not None:
            member.recovery.stop()
            member.recovery = None
        member.room.leave(member)
        self._drop_if_empty(member.room)

    def end(self, rooms: Callable[[Room], bool], ending: Ending) -> None:
        """End every member of the rooms that are chosen."""
        decided = [(room, room.end_all(ending)) for room in self._rooms.values() if rooms(room)]
        for room, effects in decided:
            self._driver.perform(room, effects)

    def listen(self, channel: bytes, heard: Callable[[bytes], None]) -> None:
        """Pass on what a channel brings that is no session's; the caller subscribes."""
        self._others[channel] = heard

    def _drop_if_empty(self, room: Room) -> None:
        """Hear no more of a session that nobody here is in."""
        channel = self._channel(room.info.id)
        if room.is_empty and self._rooms.get(channel) is room:
            del self._rooms[channel]
            self._subscriber.unsubscribe(channel)

    def _channel(self, session_id: str) -> bytes:
        return self._sessions.key(session_id).encode()

    # What the channels bring

    def heard(self, channel: bytes, payload: bytes) -> None:
        """A message arrived on a channel."""
        room = self._rooms.get(channel)
        if room is not None:
            effects = room.heard(parse(payload))
            if effects:
                self._driver.perform(room, effects)
            if self._relay_timer.awaited is not None:
                self._relay_timer.heard(payload)
        elif channel in self._others:
            self._others[channel](payload)

    def resubscribed(self, channel: bytes) -> None:
        """The channel was not heard for a while."""
        room = self._rooms.get(channel)
        if room is not None:
            self._driver.perform(room, room.catch_up())
