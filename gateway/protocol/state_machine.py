"""One connection's state machine: bytes and ticks in, effects out. Pure: no await, no clock, no Redis, no transport.

This module has the rules of the client's commands, of pings and of the closing handshake (RFC 6455, sections 5.5
and 7), and bounds what a client may do in one turn of the event loop and in time (docs/decisions/0019-fair-turns.md).
"""

import math
import sys
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Literal

import msgspec

from gateway.limits.rate import Rate
from gateway.protocol import close_codes, server_events
from gateway.protocol.close_codes import Ending
from gateway.protocol.commands import CommandError, CommandId, Join, Leave, Message, Ping, Refresh, Typing, decode
from gateway.protocol.decoder import Decoder
from gateway.protocol.frames import (
    Binary,
    Close,
    Event,
    Pong,
    Text,
    Violation,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
)
from gateway.protocol.frames import Ping as PingFrame
from gateway.protocol.server_events import RETRY_MS, ErrorData
from gateway.protocol.socket_limits import (
    ABUSE_SECONDS,
    CALM_SECONDS,
    ERROR_FRAMES,
    PAUSE_SECONDS,
    REFUSAL_FRAMES,
    SocketLimits,
)
from gateway.protocol.token_life import REFRESH_SECONDS, TokenLife, whole

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


class Limited(msgspec.Struct, frozen=True, gc=False):
    """The client is over the limit `what`: count that, and send `data` unless it is empty."""

    what: Literal["messages_connection", "typing"]
    data: bytes = b""


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Stop reading, and call `receive` without new bytes after `seconds`.

    0 is the next turn of the loop; the seconds are more when the client is over its rate of frames.
    """

    seconds: float


class Renew(msgspec.Struct, frozen=True, gc=False):
    """Give the client a new token, and call `token_lasts`."""


Effect = Join | Publish | Announce | Reply | Disconnect | Fail | ClosedByClient | Limited | Wait | Refresh | Renew

_NEXT_TURN = Wait(0.0)
_TYPING_DROPPED = Limited("typing")
_TOO_MUCH = Fail(close_codes.ABUSE.saying("you went on for 10 s to send more than the limits allow"))


class StateMachine:
    """Follows one connection. Times are in seconds of any clock that never goes back.

    Of the bytes that `receive` is given, it decodes as many frames as one turn allows. The rest stays here as it came,
    so that a megabyte of tiny frames is never a list of a hundred thousand events.
    """

    __slots__ = (
        "_calm_at",
        "_decoder",
        "_frames_arrival",
        "_held_until",
        "_is_alive",
        "_is_refreshing",
        "_is_renewed_here",
        "_limited_since",
        "_limits",
        "_malformed",
        "_messages_arrival",
        "_pings",
        "_rest",
        "_token_lead",
        "_typing_arrival",
        "close_code",
        "state",
        "token_due_at",
    )

    def __init__(self, limits: SocketLimits) -> None:
        self.state = ConnectionState.AWAITING_JOIN
        self.close_code = 0  # 0 while open
        self._limits = limits
        self._decoder = Decoder(limits.max_frame_bytes)
        self._rest: bytes | memoryview = b""
        self._malformed = 0
        self._pings = 0
        self._is_alive = True
        # Theoretical arrival times of the rates (gateway/limits/rate.py).
        self._frames_arrival = self._messages_arrival = self._typing_arrival = 0.0
        # Until then no message is taken, so that a later one does not pass one that has to be repeated.
        self._held_until = 0.0
        # Since when the client is over a limit, and when that time is over if the client keeps to its limits.
        self._limited_since = self._calm_at = 0.0
        # When something has to be done about the token; its end is `_token_lead` later, 0.0 once the client was told.
        self.token_due_at = math.inf
        self._token_lead = 0.0
        self._is_renewed_here = False
        self._is_refreshing = False

    @property
    def is_open(self) -> bool:
        """Whether commands are carried out and events are sent."""
        return self.state < ConnectionState.CLOSING

    @property
    def has_rest(self) -> bool:
        """Whether bytes wait for their turn."""
        return len(self._rest) > 0

    # In

    def receive(self, data: bytes, now: float, most_frames: int = sys.maxsize) -> Iterable[Effect]:
        """Take the client's bytes, or with `b""` the bytes that wait if `has_rest`, and carry out one turn of them.

        A turn has at most `most_frames` frames. When the turn leaves bytes, the last effect is `Wait`. The caller
        carries out each effect before it takes the next one.
        """
        limits, piece = self._limits, self._rest
        if not piece:
            piece, most = data, limits.first_frames
        elif not data:
            self._rest, most = b"", limits.turn_frames
        else:  # the transport had these bytes already when it was told to stop; a turn will come
            self._rest = b"".join((piece, data))
            return ()
        self._is_alive = True
        self._pings = 0
        if most_frames < most and self.is_open:
            most = most_frames
        rate, arrival = limits.frames, self._frames_arrival
        if arrival < now:  # noqa: PLR1730 - max() would cost 60 ns for each frame
            arrival = now
        room = sys.maxsize
        if arrival + most * rate.interval > now + rate.span and self.is_open:
            room = max(0, int((now + rate.span - arrival) * rate.per_second))
            most = min(most, room + 1)
        turn = piece if len(piece) <= limits.turn_bytes else memoryview(piece)[: limits.turn_bytes]
        events, frames, taken = self._decoder.feed(turn, most)
        if taken < len(piece):
            self._rest = memoryview(piece)[taken:]
        elif piece is not data:
            self._rest_is_done(now)
        cost = frames or 1  # of a read without the end of a frame too: a client may send its frames byte by byte
        self._frames_arrival = arrival = arrival + cost * rate.interval
        if cost > room:  # the last frame is one too many: its answer tells the client to wait
            wait = max(PAUSE_SECONDS, rate.wait(arrival + rate.interval, now))
            failure = self.limited(now, wait)
            return self._effects(events, now, wait) if failure is None else (failure,)
        if len(events) == 1 and not self._rest:  # nearly always: a generator would cost 0.15 us
            effect = self._frame(events[0], now, 0.0)
            return (effect,) if effect is not None else ()
        return self._effects(events, now, 0.0)

    def _rest_is_done(self, now: float) -> None:
        """No bytes wait any more: from now on the client can keep to its limits."""
        if self._calm_at == math.inf:
            self._calm_at = now + CALM_SECONDS

    def _effects(self, events: list[Event], now: float, wait: float) -> Iterator[Effect]:
        """The effects of one turn, in order; with a `wait` the client is over its rate of frames for that time."""
        last = events[-1] if wait and events else None
        ping = next((event for event in reversed(events) if isinstance(event, PingFrame)), None)
        for event in events:
            if isinstance(event, PingFrame) and event is not ping:
                continue  # only the latest one is answered (RFC 6455, 5.5.3)
            effect = self._frame(event, now, wait if event is last else 0.0)
            if effect is not None:
                yield effect
        if wait:
            if self._rest:  # a client whose bytes wait does not keep to its limits, however long the wait
                self._calm_at = math.inf
            yield Wait(wait)
        elif self._rest:
            yield _NEXT_TURN

    def limited(self, now: float, wait_seconds: float = 0.0) -> Fail | None:
        """The client was over a limit, and has room again after `wait_seconds`; `Fail` once that goes on too long."""
        if now > self._calm_at:
            self._limited_since = now
        self._calm_at = now + wait_seconds + CALM_SECONDS
        if now - self._limited_since < ABUSE_SECONDS or not self.is_open:
            return None
        self._drop_rest()
        return _TOO_MUCH

    def message_limited(self, now: float, wait_seconds: float) -> Fail | None:
        """A message was refused by a limit that others look at; as `limited`, and later messages are held back too."""
        self._hold_messages(now, wait_seconds)
        return self.limited(now, wait_seconds)

    def _hold_messages(self, now: float, wait_seconds: float) -> None:
        if now >= self._held_until:
            self._held_until = now + max(wait_seconds, RETRY_MS / 1000)

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

    def token_lasts(self, life: TokenLife, now: float) -> None:
        """The connection has this token from now on."""
        self.token_due_at = life.due_at(now)
        self._token_lead = life.lead_seconds
        self._is_renewed_here = life.is_renewed_here

    def token_tick(self, now: float) -> Effect | None:
        """`token_due_at` may be over: renew the token, or tell the client of its end; end the connection with it."""
        if now < self.token_due_at or self.state is not ConnectionState.JOINED:
            return None
        if self._is_renewed_here:
            self.token_due_at = math.inf
            return Renew()
        if self._token_lead:
            self.token_due_at += self._token_lead
            self._token_lead = 0.0
            return Reply(text_frame(server_events.token_expiring(whole(self.token_due_at - now))))
        return Disconnect(close_codes.UNAUTHORIZED.saying("the token has ended; join with another one"))

    def refresh_is_over(self) -> None:
        """The `refresh` was answered REFRESH_SECONDS ago: the next one is taken."""
        self._is_refreshing = False

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
        self._drop_rest()
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

    def _frame(self, event: Event, now: float, wait: float) -> Effect | None:
        if isinstance(event, Text):  # nearly always: `match` would cost 0.1 us more
            return self._command(event.payload, now, wait) if self.state < ConnectionState.CLOSING else None
        match event:
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
                self._drop_rest()
                return Fail(Ending(code, reason, reason))

    def _closed_by_client(self, code: int | None) -> ClosedByClient:
        self._drop_rest()
        if not self.is_open:
            return ClosedByClient(b"")
        self.state = ConnectionState.CLOSING
        self.close_code = code or NO_STATUS
        return ClosedByClient(close_frame(code))

    def _drop_rest(self) -> None:
        self._rest = b""
        self._decoder.end()

    # Commands

    def _command(self, payload: bytes, now: float, wait: float) -> Effect:  # noqa: PLR0911 - one branch for each
        try:
            command = decode(payload)
        except CommandError as error:
            return self._refused(error)
        self._malformed = 0
        if wait and self.state is not ConnectionState.AWAITING_JOIN and not isinstance(command, Leave):
            return Reply(self._too_fast(command.id, self._limits.frames, wait, "frames"))
        match command:
            case Message() if self.state is ConnectionState.JOINED:
                return self._message(command, now)
            case Typing() if self.state is ConnectionState.JOINED:
                return self._typing(now)
            case Refresh() if self.state is ConnectionState.JOINED:
                return self._refresh(command)
            case Join():
                return self._join(command)
            case _ if self.state is ConnectionState.AWAITING_JOIN:
                return Disconnect(close_codes.BAD_JOIN, command.id)
            case Ping(id=command_id):
                return Reply(text_frame(server_events.pong(command_id)))
            case Leave():
                return Disconnect(close_codes.LEFT)
            case _:
                return self._refuse(command.id, ErrorData("not_joined", "wait for `welcome` first", retryable=True))

    def _message(self, command: Message, now: float) -> Effect:
        if now < self._held_until:
            return self._hold_back(command, self._held_until - now, now)
        rate, arrival = self._limits.messages, self._messages_arrival
        arrival = (arrival if arrival > now else now) + rate.interval  # noqa: FURB136 - as in `receive`
        if arrival > now + rate.span:
            return self._hold_back(command, rate.wait(arrival, now), now)
        self._messages_arrival = arrival
        return Publish(command.id, command.text, command.key, command.ack == "persisted")

    def _hold_back(self, command: Message, wait: float, now: float) -> Effect:
        """Refuse a message that is over the rate."""
        self._hold_messages(now, wait)
        answer = self._too_fast(command.id, self._limits.messages, wait, "messages")
        return self.limited(now, wait) or Limited("messages_connection", answer)

    def _typing(self, now: float) -> Effect:
        rate = self._limits.typing
        arrival = rate.after(self._typing_arrival, now)
        if rate.wait(arrival, now) > 0:
            return _TYPING_DROPPED
        self._typing_arrival = arrival
        return Announce()

    def _join(self, command: Join) -> Effect:
        if self.state is not ConnectionState.AWAITING_JOIN:
            return self._refuse(command.id, ErrorData("validation_error", "already joined", field="type"))
        if command.name is None and command.token is None:
            ending = close_codes.BAD_JOIN.saying("join needs a name, or the token of a welcome")
            return Disconnect(ending, command.id, "name")
        self.state = ConnectionState.JOINING
        return command

    def _refresh(self, command: Refresh) -> Effect:
        if self._is_refreshing:
            message = f"one `refresh` at a time, and one in {REFRESH_SECONDS:g} s"
            data = ErrorData("rate_limited", message, retryable=True, retry_after_ms=RETRY_MS)
            return self._refuse(command.id, data)
        self._is_refreshing = True
        return command

    def _refused(self, error: CommandError) -> Effect:
        if self.state is ConnectionState.AWAITING_JOIN:
            return Disconnect(close_codes.BAD_JOIN.saying(error.message), error.command_id, error.field)
        if error.code == "malformed":
            self._malformed += 1
            if self._malformed > self._limits.malformed_frames:
                return Disconnect(close_codes.ABUSE)
        return self._refuse(error.command_id, ErrorData(error.code, error.message, field=error.field))

    # Errors that answer a command

    def _too_fast(self, command_id: CommandId, rate: Rate, wait: float, what: str) -> bytes:
        self._charge(REFUSAL_FRAMES)
        return text_frame(server_events.too_fast(command_id, rate, wait, what))

    def _refuse(self, command_id: CommandId, data: ErrorData) -> Reply:
        """Answer with an error; the connection goes on."""
        self._charge(ERROR_FRAMES)
        return Reply(text_frame(server_events.error(command_id, data)))

    def _charge(self, frames: int) -> None:
        self._frames_arrival += frames * self._limits.frames.interval
