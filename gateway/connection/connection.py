"""One WebSocket after the upgrade: connects the transport with the state machine and with a membership.

A connection is one asyncio protocol on the transport, outside ASGI. Only the join awaits.
"""

import asyncio
import sys
import uuid
from typing import Any, cast

import structlog

from gateway.access.admission import RefusedError
from gateway.connection import joining, renewal
from gateway.connection.context import Context
from gateway.protocol import close_codes, server_events
from gateway.protocol.close_codes import Ending
from gateway.protocol.commands import CommandId, Join, Refresh
from gateway.protocol.frames import text_frame
from gateway.protocol.server_events import RETRY_MS
from gateway.protocol.state_machine import (
    Announce,
    ClosedByClient,
    ConnectionState,
    Disconnect,
    Effect,
    Fail,
    Limited,
    Publish,
    Renew,
    Reply,
    StateMachine,
    Wait,
)
from gateway.recovery.replay import Replay
from gateway.rooms.membership import Membership

log = structlog.get_logger()


class Connection(asyncio.Protocol):
    """A client's socket; `registry` is uvicorn's set of connections, for its shutdown."""

    __slots__ = (
        "_closer",
        "_context",
        "_has_turn",
        "_machine",
        "_membership",
        "_registry",
        "_slice",
        "_transport",
        "address",
        "id",
        "session_id",
        "wants_batches",
    )

    def __init__(
        self, context: Context, session_id: str, *, address: str, wants_batches: bool, registry: set[Any]
    ) -> None:
        self.id = uuid.uuid4().hex
        self.session_id = session_id
        self.address = sys.intern(address)
        self.wants_batches = wants_batches
        self._context = context
        self._registry = registry
        self._machine = StateMachine(context.limits)
        self._transport: asyncio.Transport
        self._membership: Membership | None = None
        self._closer: asyncio.TimerHandle | None = None
        self._slice = 0
        self._has_turn = False  # whether a turn is awaited for the bytes that wait

    @property
    def has_ended(self) -> bool:
        """Whether the connection is closing or closed."""
        return not self._machine.is_open

    @property
    def is_joining(self) -> bool:
        """Whether the join is under way."""
        return self._machine.state is ConnectionState.JOINING

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The upgrade is done: start the timer of the join."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport.set_write_buffer_limits(high=self._context.max_buffer_bytes)
        self._registry.add(self)
        self._context.door.opened(self.address)
        self._slice = self._context.heartbeat.add(self)
        seconds = self._context.join_timeout_seconds
        self._closer = asyncio.get_running_loop().call_later(seconds, self._join_is_late)

    def data_received(self, data: bytes) -> None:
        """Carry out what the client's bytes ask for, as far as one turn allows."""
        membership = self._membership
        room = sys.maxsize if membership is None else self._context.publishing.link_share.room(membership)
        for effect in self._machine.receive(data, self._context.now(), room):
            self._perform(effect)

    def take_turn(self) -> None:
        """Carry out one turn of the bytes that wait, then read on if none are left."""
        self._has_turn = False
        if self._is_held or self._transport.is_closing():
            return
        if self._machine.has_rest:
            self.data_received(b"")
        self.resume_reading()

    def eof_received(self) -> bool:
        """The client shut its direction: return False, with which asyncio closes the transport."""
        return False

    def pause_writing(self) -> None:
        """More than `max_buffer_bytes` wait in the buffer. May be called in the middle of a write to many members."""
        membership = self._membership
        if membership is not None and membership.recovery is not None:
            membership.recovery.pause()
        elif membership is None or membership.is_gone or membership.room.info.slow_consumers == "disconnect":
            self._context.scheduler.defer(self._read_too_slowly)
        else:
            Replay(self._context.replays, membership).fall_behind()

    def resume_writing(self) -> None:
        """The buffer is nearly empty again."""
        if self._membership is not None and self._membership.recovery is not None:
            self._membership.recovery.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed or lost."""
        del exc  # the cause makes no difference
        if self._closer is not None:
            self._closer.cancel()
        self._registry.discard(self)
        self._context.door.closed(self.address)
        self._context.heartbeat.discard(self._slice, self)
        if self._machine.is_open:
            self._context.counters.closed["lost"] += 1
            self._machine.lost()
            self._leave(is_lost=True)
        log.info(
            "connection.closed",
            session_id=self.session_id,
            user_id=self._membership.user_id if self._membership is not None else None,
            code=self._machine.close_code,
        )

    # uvicorn's shutdown, the drain and the heartbeat

    def shutdown(self, after_ms: int = RETRY_MS) -> None:
        """This gateway is stopping: send `reconnect`, and close with 1012."""
        if self._machine.is_open:
            self._transport.write(text_frame(server_events.reconnect("restart", after_ms)))
            self.end(close_codes.RESTART)

    def visit(self) -> None:
        """One heartbeat interval is over."""
        effect = self._machine.tick()
        if effect is not None:
            self._perform(effect)
        self._enter_deadline()

    def deadline(self) -> None:
        """Something may have to be done about the token."""
        effect = self._machine.token_tick(asyncio.get_running_loop().time())
        if effect is not None:
            self._perform(effect)
            self._enter_deadline()

    def _enter_deadline(self) -> None:
        """Enter the token's deadline, if it may come before the heartbeat's next visit."""
        due_at = self._machine.token_due_at
        if due_at <= asyncio.get_running_loop().time() + 2 * self._context.heartbeat.interval_seconds:
            self._context.deadlines.add(due_at, self)

    # Carrier of its membership

    @property
    def unsent_bytes(self) -> int:
        """How many bytes wait until the client reads."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send frames now, without waiting."""
        self._transport.write(data)

    def answer(self, data: bytes) -> None:
        """Send the frames of an answer, which are not held back while the client lacks events."""
        self._transport.write(data)
        if self._membership is not None and self._membership.recovery is not None:
            self._membership.recovery.answered()

    def end(self, ending: Ending, command_id: CommandId = None, field: str | None = None) -> None:
        """Close the connection: send the last frames, then wait up to `close_seconds` for the client's close frame."""
        if self._machine.is_open:
            self._context.counters.ended(ending.name)
            farewell = self._machine.close(ending, command_id, field)
            self._leave(is_lost=ending is not close_codes.LEFT)
            self._transport.write(farewell)
            self._expect_close()

    def pause_reading(self) -> None:
        """Stop reading from the socket, unless the connection is closing."""
        if self._machine.is_open:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from the socket again, once no bytes wait any more."""
        if self._has_turn or self._is_held or self._transport.is_closing():
            return
        if self._machine.has_rest:
            self._await_turn()
        else:
            self._transport.resume_reading()

    def limited(self, what: str, wait_seconds: float) -> None:
        """A message was over the limit `what`, and the client was told to wait: end a client that goes on for long."""
        self._context.counters.limited[what] += 1
        failure = self._machine.message_limited(self._context.now(), wait_seconds)
        if failure is not None:
            self._perform(failure)

    # Turns

    @property
    def _is_held(self) -> bool:
        """Whether the client's commands must wait until Redis has answered earlier ones."""
        return self._membership is not None and self._membership.is_held and self._machine.is_open

    def _wait(self, seconds: float) -> None:
        """Stop reading until the next turn."""
        if self._transport.is_closing():  # an answer could not be written
            return
        self._transport.pause_reading()
        if seconds == 0:
            self._await_turn()
        else:
            self._context.counters.limited["frames"] += 1
            self._has_turn = True
            asyncio.get_running_loop().call_later(seconds, self._context.turns.enter, self)

    def _await_turn(self) -> None:
        self._has_turn = True
        self._context.turns.enter(self)

    # The join

    async def _join(self, command: Join) -> None:
        """Admit the client, or end the connection."""
        try:
            async with joining.admitted(self._context, self.session_id, self.id, command, address=self.address) as (
                room,
                admitted,
            ):
                if self.has_ended:  # the connection ended during the admission
                    self._context.admission.withdraw(room.info.id, admitted.user, command, self.id)
                else:
                    member = Membership(self.id, admitted.user, room, self, wants_batches=self.wants_batches)
                    self._seated(member)
                    grant = self._context.grants.of(room.info.id, admitted.user, admitted.claims, self.id)
                    renewal.accept(self._machine, member, grant)
                    joining.welcome(self._context, member, command, admitted, grant)
                    self._enter_deadline()
        except RefusedError as error:
            self._context.counters.joins_refused[error.ending.name] += 1
            self.end(error.ending, command.id, "name" if error.ending is close_codes.NAME_TAKEN else None)
        except Exception:
            self._context.counters.joins_refused[close_codes.INTERNAL.name] += 1
            self.end(close_codes.INTERNAL)
            raise

    def _seated(self, membership: Membership) -> None:
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None
        self._membership = membership
        self.session_id = membership.room.info.id  # one string for all connections of a room saves 85 bytes for each
        self._machine.joined()

    # How effects are carried out

    def _perform(self, effect: Effect) -> None:  # noqa: C901 - one branch for each effect
        match effect:
            case Publish():
                self._context.publishing.publish(self._joined(), effect)
            case Reply(data):
                self.answer(data)
            case Announce():
                self._context.publishing.announce_typing(self._joined())
            case Join():
                self._context.tasks.spawn(self._join(effect), f"join {self.id}")
            case Limited(what, data):
                self._refuse(what, data)
            case Wait(seconds):
                self._wait(seconds)
            case Refresh():
                self._context.tasks.spawn(self._refresh(effect), f"refresh {self.id}")
            case Renew():
                renewal.renew(self._context, self._machine, self._joined())
            case Disconnect(ending, command_id, field):
                self.end(ending, command_id, field)
            case Fail(ending):
                self.end(ending)
                hang_up(self._transport)
            case ClosedByClient(reply):
                self._closed_by_client(reply)

    def _refuse(self, what: str, data: bytes) -> None:
        self._context.counters.limited[what] += 1
        if data:
            self.answer(data)

    async def _refresh(self, command: Refresh) -> None:
        await renewal.refresh(self._context, self._machine, self._joined(), command)
        self._enter_deadline()

    def _closed_by_client(self, reply: bytes) -> None:
        if reply:
            self._context.counters.closed["client"] += 1
            self._leave(is_lost=True)
            self._transport.write(reply)
            self._expect_close()  # `close` waits until the buffer is sent, and the client may never read
        self._transport.close()

    def _joined(self) -> Membership:
        assert self._membership is not None
        return self._membership

    def _join_is_late(self) -> None:
        self._perform(self._machine.join_is_late(self._context.join_timeout_seconds))

    def _read_too_slowly(self) -> None:
        if self._machine.is_open:
            self._context.counters.slow_consumers += 1
            self.end(close_codes.SLOW_CONSUMER)

    def _leave(self, *, is_lost: bool) -> None:
        """Leave the room and give up the seat."""
        membership = self._membership
        if membership is not None:
            self._context.hub.leave(membership)
            self._context.leave_queue.leave(self.session_id, membership.user, self.id, is_lost=is_lost)

    def _expect_close(self) -> None:
        if self._closer is not None:
            self._closer.cancel()
        self._closer = asyncio.get_running_loop().call_later(self._context.close_seconds, self._transport.abort)
        if self._has_turn:  # bytes that wait for a rate wait no longer: the close frame of the client is among them
            self._await_turn()
        else:
            self.resume_reading()


def hang_up(transport: asyncio.Transport) -> None:
    """Send the end of the stream to the client, after the bytes written so far.

    A transport that can half-close shuts only the server's direction and still reads the client's bytes: closing a TCP
    socket with unread bytes would reset the connection, and the client might lose the close frame. TLS has no
    half-close, so a TLS transport is closed.
    """
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()
