"""The messages of one connection that are under way: sent to Redis, answered, and committed when that was asked for."""

from functools import partial
from typing import Protocol

from broker.errors import BacklogFullError, BrokerError, SessionClosedError, SessionUnknownError
from broker.events import User
from broker.pubsub.publisher import Published, Publisher, published
from broker.redis.connection import Reply
from gateway.counters import Counters
from gateway.protocol import close_codes, server_events
from gateway.protocol.commands import CommandId
from gateway.protocol.frames import text_frame
from gateway.protocol.server_events import RETRY_MS, ErrorData
from gateway.protocol.state_machine import Publish
from gateway.rooms.outbox import Member
from gateway.rooms.room import Room

# From so many unanswered messages on, no more is read until one is answered.
MAX_IN_FLIGHT = 64
MAX_UNCOMMITTED = 1024


class Speaker(Member, Protocol):
    """The connection that publishes."""

    session_id: str

    @property
    def room(self) -> Room | None:
        """Where it is; None once it has ended."""

    def write(self, data: bytes) -> None:
        """Send frames."""

    def pause_reading(self) -> None:
        """Read no more for now."""

    def resume_reading(self) -> None:
        """Read on."""


class Publishing:
    """Made with the first message; what is not the hot path stays out of it."""

    __slots__ = ("_counters", "_in_flight", "_publisher", "_speaker", "_uncommitted", "_user")

    def __init__(self, publisher: Publisher, counters: Counters, speaker: Speaker, user: User) -> None:
        self._publisher = publisher
        self._counters = counters
        self._speaker = speaker
        self._user = user
        self._in_flight = 0
        self._uncommitted = 0

    def publish(self, effect: Publish) -> None:
        """Publish the message; the answer follows."""
        if effect.is_awaited:
            if self._uncommitted >= MAX_UNCOMMITTED:
                waiting = f"{MAX_UNCOMMITTED} of your messages wait to be committed; nothing was stored"
                self._say_unavailable(effect.id, waiting)
                return
            self._uncommitted += 1
            self._speaker.wants_persisted = True
        self._in_flight += 1
        if self._in_flight == MAX_IN_FLIGHT:
            self._speaker.pause_reading()
        message_id = self._publisher.send(
            self._speaker.session_id,
            user_id=self._user.id,
            user_name=self._user.name,
            text=effect.text,
            key=effect.key,
            is_awaited=effect.is_awaited,
            settle=partial(self._published, effect),
        )
        self._counters.stopwatch.sent(message_id)

    def _published(self, effect: Publish, message_id: str, reply: Reply | BrokerError) -> None:
        self._in_flight -= 1
        if self._in_flight == MAX_IN_FLIGHT - 1:
            self._speaker.resume_reading()
        room = self._speaker.room
        if room is None:
            return
        try:
            done = published(message_id, reply)
        except BrokerError as error:
            self._uncommitted -= effect.is_awaited
            self._counters.stopwatch.forget(message_id)
            self._say_failed(effect.id, error, room)
        else:
            if done.message_id is not message_id:
                self._counters.stopwatch.forget(message_id)
            if effect.is_awaited:
                self._await_commit(effect.id, done, room)
            else:
                room.out.answer(self._speaker, text_frame(server_events.ack(effect.id, done.seq, done.message_id)))

    def _await_commit(self, command_id: CommandId, done: Published, room: Room) -> None:
        def tell(is_committed: bool | None) -> None:
            self._uncommitted -= 1
            if self._speaker.room is None:
                return
            if is_committed:
                self._say(server_events.ack(command_id, done.seq, done.message_id, "persisted"))
            elif is_committed is None:  # no answer would be true: let the client see that the epoch is another
                self._speaker.end(close_codes.RESYNC)
            else:
                what = f"the message was delivered with seq {done.seq}, but can't be stored"
                self._say(server_events.error(command_id, ErrorData("unavailable", what)))

        if done.is_persisted or done.is_refused:
            tell(done.is_persisted)
        else:
            room.commits.wait(done.seq, tell)

    def _say_failed(self, command_id: CommandId, error: BrokerError, room: Room) -> None:
        self._counters.publish_failed(error)
        match error:
            case SessionUnknownError():
                self._say_unavailable(command_id, "the session's state was lost; nothing was stored")
                room.end_all(close_codes.RESYNC)
            case SessionClosedError():
                what = "the session is closed; nothing was stored"
                self._say(server_events.error(command_id, ErrorData("session_closed", what)))
            case BacklogFullError():
                self._say_unavailable(command_id, "too many messages wait to be stored; nothing was stored")
            case _:
                self._say_unavailable(command_id, f"{error}; repeat the message with the same key")

    def _say_unavailable(self, command_id: CommandId, message: str) -> None:
        data = ErrorData("unavailable", message, retryable=True, retry_after_ms=RETRY_MS)
        self._say(server_events.error(command_id, data))

    def _say(self, body: bytes) -> None:
        self._speaker.write(text_frame(body))
