"""One connection's state machine: bytes and ticks in, effects out. Pure: no await, no clock, no Redis, no transport.

This module has the rules of the client's commands, of pings and of the closing handshake (RFC 6455, sections 5.5
and 7).
"""

from collections.abc import Iterator
from enum import IntEnum

import msgspec

from gateway.protocol import close_codes, server_events
from gateway.protocol.close_codes import Ending
from gateway.protocol.commands import CommandError, CommandId, Join, Leave, Message, Ping, Typing, decode
from gateway.protocol.decoder import Decoder
from gateway.protocol.frames import (
    Binary,
    Close,
    Pong,
    Text,
    Violation,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
)
from gateway.protocol.frames import Event as FrameEvent
from gateway.protocol.frames import Ping as PingFrame
from gateway.protocol.server_events import ErrorData

PINGS_UNANSWERED = 2
NO_STATUS = 1005
ABNORMAL = 1006


class ConnectionState(IntEnum):
    """The phases of a connection, in order."""

    AWAITING_JOIN = 0
    JOINING = 1
    """The client sent `join`; admission is under way."""
    JOINED = 2
    CLOSING = 3
    """A close frame was sent or received: no events are sent and no commands are carried out any more."""
    CLOSED = 4
    """The socket was lost while the connection was open."""


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Publish the message, then answer `id`."""

    id: CommandId
    text: str
    key: str | None
    is_awaited: bool = False
    """Whether the answer waits until the message is committed."""


class Announce(msgspec.Struct, frozen=True, gc=False):
    """Tell the session's other users that this user is typing."""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """Send these frames to the client."""

    data: bytes


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """Close the connection; `command_id` and `field` are those of the command that is the cause, if one is."""

    ending: Ending
    command_id: CommandId = None
    field: str | None = None


class Fail(msgspec.Struct, frozen=True, gc=False):
    """The client broke the protocol: close the connection, and do not wait for a close frame of the client."""

    ending: Ending


class ClosedByClient(msgspec.Struct, frozen=True, gc=False):
    """The client sent its close frame: send `reply` unless it is empty, and close the socket."""

    reply: bytes


Effect = Join | Publish | Announce | Reply | Disconnect | Fail | ClosedByClient


class StateMachine:
    """Follows one connection. It closes after more than `malformed_limit` consecutive malformed frames."""

    __slots__ = ("_decoder", "_is_alive", "_malformed", "_malformed_limit", "_pings", "close_code", "state")

    def __init__(self, *, malformed_limit: int, max_frame_bytes: int) -> None:
        self.state = ConnectionState.AWAITING_JOIN
        self.close_code = 0  # 0 while open
        self._decoder = Decoder(max_frame_bytes)
        self._malformed = 0
        self._malformed_limit = malformed_limit
        self._pings = 0
        self._is_alive = True

    @property
    def is_open(self) -> bool:
        """Whether commands are carried out and events are sent."""
        return self.state < ConnectionState.CLOSING

    # In

    def receive(self, data: bytes) -> Iterator[Effect]:
        """Decode the client's bytes to effects. The caller carries out each effect before it takes the next one."""
        self._is_alive = True
        self._pings = 0
        for event in self._decoder.feed(data):
            effect = self._frame(event)
            if effect is not None:
                yield effect

    def tick(self) -> Effect | None:
        """One heartbeat interval is over: ping a silent client; end after PINGS_UNANSWERED pings without an answer."""
        if not self.is_open:
            return None
        if self._is_alive:
            self._is_alive = False
            return None
        if self._pings == PINGS_UNANSWERED:
            return Disconnect(close_codes.HEARTBEAT_LOST)
        self._pings += 1
        return Reply(ping_frame())

    def join_is_late(self, seconds: float) -> Disconnect:
        """No join was complete within `seconds`: end the connection."""
        if self.state is ConnectionState.JOINING:
            return Disconnect(close_codes.UNAVAILABLE.saying(f"the join took longer than {seconds} seconds"))
        return Disconnect(close_codes.BAD_JOIN.saying(f"no join came within {seconds} seconds"))

    def joined(self) -> None:
        """The client has its seat."""
        self.state = ConnectionState.JOINED

    def lost(self) -> None:
        """The socket was lost without a closing handshake."""
        self.close_code = ABNORMAL
        self.state = ConnectionState.CLOSED

    # Out

    def close(self, ending: Ending, command_id: CommandId = None, field: str | None = None) -> bytes:
        """Encode the last frames: an `error` event, if the ending has one, and the close frame. Call once only."""
        self.state = ConnectionState.CLOSING
        self.close_code = ending.code
        farewell = b""
        if ending.has_error:
            data = ErrorData(ending.name, ending.message, ending.is_retryable, field, ending.retry_after_ms)
            farewell = text_frame(server_events.error(command_id, data))
        return farewell + close_frame(ending.code, ending.name)

    # Frames

    def _frame(self, event: FrameEvent) -> Effect | None:
        match event:
            case Text(payload):
                return self._command(payload) if self.state < ConnectionState.CLOSING else None
            case PingFrame(payload):
                return Reply(pong_frame(payload)) if self.is_open else None
            case Pong():
                self._is_alive = False  # a pong does not count as traffic, so that idle connections are still pinged
                return None
            case Binary():
                return self._refused(CommandError("malformed", "frames must be text")) if self.is_open else None
            case Close(code):
                return self._closed_by_client(code)
            case Violation(code, reason):
                return Fail(Ending(code, reason, reason))

    def _closed_by_client(self, code: int | None) -> ClosedByClient:
        if not self.is_open:
            return ClosedByClient(b"")
        self.state = ConnectionState.CLOSING
        self.close_code = code or NO_STATUS
        return ClosedByClient(close_frame(code))

    # Commands

    def _command(self, payload: bytes) -> Effect:  # noqa: PLR0911 - one line for each kind of command
        try:
            command = decode(payload)
        except CommandError as error:
            return self._refused(error)
        self._malformed = 0
        match command:
            case Message() if self.state is ConnectionState.JOINED:
                return Publish(command.id, command.text, command.key, command.ack == "persisted")
            case Typing() if self.state is ConnectionState.JOINED:
                return Announce()
            case Join():
                return self._join(command)
            case _ if self.state is ConnectionState.AWAITING_JOIN:
                return Disconnect(close_codes.BAD_JOIN, command.id)
            case Ping(id=command_id):
                return Reply(text_frame(server_events.pong(command_id)))
            case Leave():
                return Disconnect(close_codes.LEFT)
            case _:
                return _refuse(command.id, ErrorData("not_joined", "wait for `welcome` first", retryable=True))

    def _join(self, command: Join) -> Effect:
        if self.state is not ConnectionState.AWAITING_JOIN:
            return _refuse(command.id, ErrorData("validation_error", "already joined", field="type"))
        if command.name is None and command.token is None:
            ending = close_codes.BAD_JOIN.saying("join needs a name, or the token of a welcome")
            return Disconnect(ending, command.id, "name")
        self.state = ConnectionState.JOINING
        return command

    def _refused(self, error: CommandError) -> Effect:
        if self.state is ConnectionState.AWAITING_JOIN:
            return Disconnect(close_codes.BAD_JOIN.saying(error.message), error.command_id, error.field)
        if error.code == "malformed":
            self._malformed += 1
            if self._malformed > self._malformed_limit:
                return Disconnect(close_codes.ABUSE)
        return _refuse(error.command_id, ErrorData(error.code, error.message, field=error.field))


def _refuse(command_id: CommandId, data: ErrorData) -> Reply:
    """Answer with an error; the connection goes on."""
    return Reply(text_frame(server_events.error(command_id, data)))
