"""One user's state machine: a frame in, what to do out. Pure: no await, no clock, no Redis."""

from enum import IntEnum

import msgspec

from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.protocol.commands import CommandError, CommandId, Join, Leave, Message, Ping, Typing, decode


class Phase(IntEnum):
    """How far a connection has come."""

    WAITING = 0  # for its first frame
    JOINING = 1  # a seat is being taken
    JOINED = 2
    ENDED = 3


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Publish the message, then answer `id`."""

    id: CommandId
    text: str
    key: str | None
    is_awaited: bool = False
    """Whether the answer waits until the message is committed."""


class Announce(msgspec.Struct, frozen=True, gc=False):
    """Tell the others that this user is typing."""


class Pong(msgspec.Struct, frozen=True, gc=False):
    """Answer a ping."""

    id: CommandId


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """Answer with an error; the connection goes on."""

    id: CommandId
    code: str
    message: str
    field: str | None = None
    is_retryable: bool = False


class End(msgspec.Struct, frozen=True, gc=False):
    """Close the connection; `command_id` is that of the command that ended it."""

    ending: Ending
    command_id: CommandId = None
    field: str | None = None


Effect = Join | Publish | Announce | Pong | Refuse | End | None


class StateMachine:
    """Follows one connection. `malformed_limit` malformed frames in a row are the last straw."""

    __slots__ = ("_malformed", "_malformed_limit", "phase")

    def __init__(self, malformed_limit: int) -> None:
        self.phase = Phase.WAITING
        self._malformed = 0
        self._malformed_limit = malformed_limit

    def heard(self, payload: bytes) -> Effect:  # noqa: PLR0911 - one line for each kind of command
        """A text frame came."""
        if self.phase is Phase.ENDED:
            return None
        try:
            command = decode(payload)
        except CommandError as error:
            return self._refused(error)
        self._malformed = 0
        match command:
            case Message() | Typing() if self.phase is Phase.JOINED:
                return self._said(command)
            case Join():
                return self._join(command)
            case _ if self.phase is Phase.WAITING:
                return self._end(End(close_codes.BAD_JOIN, command.id))
            case Ping(id=command_id):
                return Pong(command_id)
            case Leave():
                return self._end(End(close_codes.LEFT))
            case _:
                return Refuse(command.id, "not_joined", "wait for `welcome` first", is_retryable=True)

    def _said(self, command: Message | Typing) -> Effect:
        match command:
            case Typing():
                return Announce()
            case Message():
                return Publish(command.id, command.text, command.key, command.ack == "persisted")

    def heard_binary(self) -> Effect:
        """A binary frame came."""
        if self.phase is Phase.ENDED:
            return None
        return self._refused(CommandError("malformed", "frames must be text"))

    def joined(self) -> None:
        """The seat is taken."""
        self.phase = Phase.JOINED

    def ended(self) -> None:
        """Nothing is heard any more."""
        self.phase = Phase.ENDED

    def _join(self, command: Join) -> Effect:
        if self.phase is not Phase.WAITING:
            return Refuse(command.id, "validation_error", "already joined", "type")
        if command.name is None and command.token is None:
            ending = close_codes.BAD_JOIN.saying("join needs a name, or the token of a welcome")
            return self._end(End(ending, command.id, "name"))
        self.phase = Phase.JOINING
        return command

    def _refused(self, error: CommandError) -> Effect:
        if self.phase is Phase.WAITING:
            return self._end(End(close_codes.BAD_JOIN.saying(error.message), error.command_id, error.field))
        if error.code == "malformed":
            self._malformed += 1
            if self._malformed > self._malformed_limit:
                return self._end(End(close_codes.ABUSE))
        return Refuse(error.command_id, error.code, error.message, error.field)

    def _end(self, end: End) -> End:
        self.ended()
        return end
