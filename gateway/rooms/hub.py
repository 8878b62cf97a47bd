"""Session → room. The first join of a session on this gateway makes the room; the last leave drops it."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from broker.pubsub.subscriber import Subscriber
from broker.sessions.event_log import parse
from broker.sessions.live_sessions import LiveSessions, SessionInfo
from gateway.counters import Counters
from gateway.protocol.close_codes import Ending
from gateway.rooms.driver import RoomDriver
from gateway.rooms.member import Member
from gateway.rooms.membership import Membership
from gateway.rooms.room import Room


def _nothing() -> None:
    """Nothing is missed."""


class Hub:
    """All rooms of one gateway. The subscriber calls `heard` with every message of the subscribed channels."""

    def __init__(self, subscriber: Subscriber, sessions: LiveSessions, driver: RoomDriver, counters: Counters) -> None:
        self._subscriber = subscriber
        self._sessions = sessions
        self._driver = driver
        self._relay_timer = counters.relay_timer
        self._rooms: dict[bytes, Room] = {}
        self._others: dict[bytes, tuple[Callable[[bytes], None], Callable[[], None]]] = {}

    @property
    def room_count(self) -> int:
        """How many sessions have a room on this gateway."""
        return len(self._rooms)

    def info(self, session_id: str) -> SessionInfo | None:
        """The settings of a session, which never change; None when the session has no room on this gateway."""
        room = self._rooms.get(self._channel(session_id))
        return room.info if room is not None else None

    @contextlib.asynccontextmanager
    async def joining(self, info: SessionInfo) -> AsyncIterator[Room]:
        """Hold the session's room, subscribed to its channel, during a join. Raises BrokerUnavailableError."""
        channel = self._channel(info.id)
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = Room(info)
        with self.kept(room):
            await self._subscriber.subscribe(channel)
            yield room

    @contextlib.contextmanager
    def kept(self, room: Room) -> Iterator[None]:
        """During a join: keep the room even when it has no members, and keep its recent events in the join buffer."""
        room.expect_join()
        try:
            yield
        finally:
            room.join_is_over()
            self._drop_if_empty(room)

    def leave(self, member: Membership) -> None:
        """Remove the member from its room, and drop the room when it was the last member."""
        if member.recovery is not None:
            member.recovery.stop()
            member.recovery = None
        member.room.leave(member)
        self._drop_if_empty(member.room)

    def end(self, rooms: Callable[[Room], bool], ending: Ending) -> None:
        """End every member of each room for which `rooms` returns True."""
        decided = [(room, room.end_all(ending)) for room in self._rooms.values() if rooms(room)]
        for room, effects in decided:
            self._driver.perform(room, effects)

    def end_those(self, is_ended: Callable[[Member], bool], ending: Ending) -> None:
        """End every member for which `is_ended` returns True."""
        decided = [(room, room.end_those(is_ended, ending)) for room in self._rooms.values()]
        for room, effects in decided:
            if effects:
                self._driver.perform(room, effects)

    def listen(
        self, channel: bytes, heard: Callable[[bytes], None], on_interrupted: Callable[[], None] = _nothing
    ) -> None:
        """Call `heard` with every message of a channel that is no session's; the caller subscribes to the channel.

        `on_interrupted` is called once the channel is heard again after messages may have been missed.
        """
        self._others[channel] = (heard, on_interrupted)

    def _drop_if_empty(self, room: Room) -> None:
        """Drop an empty room, and unsubscribe from its channel."""
        channel = self._channel(room.info.id)
        if room.is_empty and self._rooms.get(channel) is room:
            del self._rooms[channel]
            self._subscriber.unsubscribe(channel)

    def _channel(self, session_id: str) -> bytes:
        return self._sessions.key(session_id).encode()

    # Messages of the channels

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
            self._others[channel][0](payload)

    def resubscribed(self, channel: bytes) -> None:
        """The subscription to the channel is back after an interruption, in which messages may have been missed."""
        room = self._rooms.get(channel)
        if room is not None:
            self._driver.perform(room, room.catch_up())
        elif channel in self._others:
            self._others[channel][1]()
