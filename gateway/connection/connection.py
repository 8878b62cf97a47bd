"""One detached socket: bytes to frames to the participant, and the participant's effects carried out.

It lives outside ASGI: one slotted protocol on the transport, nothing else. Nothing here awaits; the join does.
"""

import asyncio
import sys
import uuid
from typing import Any, cast

import structlog

from broker.events import User
from broker.redis.connection import Reply
from gateway.connection import joining
from gateway.connection.context import Context
from gateway.connection.hangup import hang_up
from gateway.protocol import close_codes, server_events
from gateway.protocol.close_codes import Ending
from gateway.protocol.commands import CommandId, Join
from gateway.protocol.decoder import Decoder
from gateway.protocol.frames import (
    Binary,
    Close,
    Event,
    Ping,
    Pong,
    Text,
    Violation,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
)
from gateway.protocol.server_events import RETRY_MS, ErrorData
from gateway.protocol.state_machine import Announce, Effect, End, Phase, Publish, Refuse, StateMachine
from gateway.protocol.state_machine import Pong as PongEffect
from gateway.recovery.replay import Replay
from gateway.rooms.publishing import Publishing
from gateway.rooms.room import Room

CLOSE_SECONDS = 5.0
PINGS_UNANSWERED = 2
ABNORMAL = 1006

log = structlog.get_logger()


class Connection(asyncio.Protocol):
    """A client's socket after the upgrade; `registry` is uvicorn's set of connections, for its shutdown."""

    __slots__ = (
        "_close_code",
        "_closer",
        "_context",
        "_decoder",
        "_is_alive",
        "_participant",
        "_pings",
        "_publishing",
        "_registry",
        "_replay",
        "_room",
        "_slice",
        "_transport",
        "_user",
        "address",
        "id",
        "session_id",
        "wants_batches",
        "wants_persisted",
    )

    def __init__(
        self, context: Context, session_id: str, *, address: str, wants_batches: bool, registry: set[Any]
    ) -> None:
        self.id = uuid.uuid4().hex
        self.session_id = session_id
        self.address = sys.intern(address)
        self.wants_batches = wants_batches
        self.wants_persisted = False
        self._context = context
        self._registry = registry
        self._participant = StateMachine(context.max_malformed_frames)
        self._decoder = Decoder(context.max_frame_bytes)
        self._transport: asyncio.Transport
        self._room: Room | None = None
        self._user: User | None = None
        self._closer: asyncio.TimerHandle | None = None
        self._close_code = 0  # 0 while open
        self._publishing: Publishing | None = None
        self._pings = 0
        self._slice = 0
        self._is_alive = True
        self._replay: Replay | None = None  # while it lacks events

    @property
    def user_id(self) -> str:
        """The user's id, once joined."""
        assert self._user is not None
        assert self._user.id is not None
        return self._user.id

    @property
    def room(self) -> Room | None:
        """Where it is; None before the join and after the end."""
        return self._room

    @property
    def transport(self) -> asyncio.Transport:
        """Where its frames go."""
        return self._transport

    @property
    def has_ended(self) -> bool:
        """Whether nothing is delivered or heard any more."""
        return bool(self._close_code)

    @property
    def is_joining(self) -> bool:
        """Whether a seat is being taken."""
        return self._participant.phase is Phase.JOINING

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The upgrade is done; the first frame must come in time."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport.set_write_buffer_limits(high=self._context.max_buffer_bytes)
        self._registry.add(self)
        self._context.door.entered(self.address)
        self._slice = self._context.heartbeat.add(self)
        self._closer = asyncio.get_running_loop().call_later(self._context.join_timeout_seconds, self._join_is_late)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._is_alive = True
        self._pings = 0
        for event in self._decoder.feed(data):
            self._take(event)

    def eof_received(self) -> bool:
        """The client will send no more; nothing can be told to it either."""
        return False

    def pause_writing(self) -> None:
        """More than `max_buffer_bytes` wait to be sent."""
        if self._replay is not None:
            self._replay.pause()
        elif self._room is not None and self._room.info.slow_consumers == "resync":
            self._replay = Replay(self._context.replays, self, self._room, self._transport)
            self._replay.fall_behind()
        elif not self._close_code:
            self._context.counters.slow_consumers += 1
            self.end(close_codes.SLOW_CONSUMER)

    def resume_writing(self) -> None:
        """The buffer is nearly empty again."""
        if self._replay is not None:
            self._replay.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        del exc  # how it broke makes no difference
        if self._closer is not None:
            self._closer.cancel()
        self._registry.discard(self)
        self._context.door.went(self.address)
        self._context.heartbeat.discard(self._slice, self)
        if not self._close_code:
            self._context.counters.closed["lost"] += 1
        self._stop(self._close_code or ABNORMAL, is_lost=True)
        log.info(
            "connection.closed",
            session_id=self.session_id,
            user_id=self._user.id if self._user is not None else None,
            code=self._close_code,
        )

    # uvicorn's shutdown and the heartbeat

    def shutdown(self, after_ms: int = RETRY_MS) -> None:
        """This gateway is going down: go elsewhere."""
        if not self._close_code:
            self.write(text_frame(server_events.reconnect("restart", after_ms)))
            self.end(close_codes.RESTART)

    def visit(self) -> None:
        """Ping when nothing was heard since the last visit; end after two pings without an answer."""
        if self._is_alive:
            self._is_alive = False
        elif self._pings == PINGS_UNANSWERED:
            self.end(close_codes.HEARTBEAT_LOST)
        elif not self._close_code:
            self._pings += 1
            self.write(ping_frame())

    # Out

    def write(self, data: bytes) -> None:
        """Send frames now, without waiting."""
        self._transport.write(data)
        if self._replay is not None:
            self._replay.answered()

    def end(self, ending: Ending, command_id: CommandId = None, field: str | None = None) -> None:
        """Close the connection: tell why, then wait a little for the client's own close frame."""
        if self._close_code:
            return
        self._context.counters.ended(ending)
        self._stop(ending.code, is_lost=ending is not close_codes.LEFT)
        farewell = b""
        if ending.has_error:
            data = ErrorData(ending.name, ending.message, ending.is_retryable, field)
            farewell = text_frame(server_events.error(command_id, data))
        self.write(farewell + close_frame(ending.code, ending.name))
        self._expect_close()

    def pause_reading(self) -> None:
        """Read no more for now, unless the end has come."""
        if not self._close_code:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _expect_close(self) -> None:
        if self._closer is not None:
            self._closer.cancel()
        self._closer = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)
        self._transport.resume_reading()

    def _stop(self, code: int, *, is_lost: bool) -> None:
        """Nothing is delivered or heard any more; the seat is given up."""
        if self._close_code:
            return
        self._close_code = code
        self._participant.ended()
        if self._replay is not None:
            self._replay.stop()
            self._replay = None
        room, self._room = self._room, None
        if room is not None:
            assert self._user is not None
            room.detach(self)
            self._context.hub.drop_if_empty(room)
            self._context.leave_queue.leave(self.session_id, self._user, self.id, is_lost=is_lost)

    # In

    def _take(self, event: Event) -> None:
        match event:
            case Text(payload):
                self._do(self._participant.heard(payload))
            case Binary():
                self._do(self._participant.heard_binary())
            case Ping(payload):
                if not self._close_code:
                    self.write(pong_frame(payload))
            case Pong():
                self._is_alive = False  # an answer to us is no traffic: an idle connection goes on being pinged
            case Close(code):
                self._closed_by_client(code)
            case Violation(code, reason):
                self.end(Ending(code, reason, reason))
                # Nothing can be read any more, the client's close frame neither: it ends by closing its side.
                hang_up(self._transport)

    def _closed_by_client(self, code: int | None) -> None:
        if not self._close_code:
            self._context.counters.closed["client"] += 1
            self._stop(code or 1005, is_lost=True)
            self.write(close_frame(code))
            self._expect_close()  # closing waits for what is unsent, which the client may never read
        self._transport.close()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Publish():
                if self._publishing is None:
                    assert self._user is not None
                    self._publishing = Publishing(self._context.publisher, self._context.counters, self, self._user)
                self._publishing.publish(effect)
            case Announce():
                self._context.publisher.send_ephemeral(self.session_id, "user_typing", self._user).add_done_callback(
                    _unheeded
                )
            case PongEffect(command_id):
                self.write(text_frame(server_events.pong(command_id)))
            case Refuse():
                data = ErrorData(effect.code, effect.message, effect.is_retryable, effect.field)
                self.write(text_frame(server_events.error(effect.id, data)))
            case Join():
                self._context.tasks.spawn(joining.join(self._context, self, effect), f"join {self.id}")
            case End(ending, command_id, field):
                self.end(ending, command_id, field)
            case None:
                pass

    # The join

    def seated(self, user: User, room: Room, replay: Replay) -> None:
        """It has a seat; `replay` hears how its buffer is until it has caught up."""
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None
        self._user, self._room, self._replay = user, room, replay
        self.session_id = room.info.id  # one text for all of a room, 85 bytes less for each
        self._participant.joined()

    def caught_up(self) -> None:
        """It gets the live events now."""
        self._replay = None

    def _join_is_late(self) -> None:
        seconds = self._context.join_timeout_seconds
        if self._participant.phase is Phase.JOINING:
            self.end(close_codes.UNAVAILABLE.saying(f"the join took longer than {seconds} seconds"))
        else:
            self.end(close_codes.BAD_JOIN.saying(f"no join came within {seconds} seconds"))


def _unheeded(answer: "asyncio.Future[Reply]") -> None:
    answer.exception()  # typing is not worth an error
