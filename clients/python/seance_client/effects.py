"""What the state machine wants done: the only way by which it acts on the world."""

import msgspec

from seance_client.errors import EndedError, SeanceError
from seance_client.events import Ack, Event


class Dial(msgspec.Struct, frozen=True):
    """Open a connection to this server."""

    url: str


class Write(msgspec.Struct, frozen=True):
    """Send a text frame."""

    frame: bytes


class Hangup(msgspec.Struct, frozen=True):
    """Drop the connection, now; what it still says or how it ends does not matter any more."""


class Emit(msgspec.Struct, frozen=True):
    """Tell the application."""

    event: Event


class Answer(msgspec.Struct, frozen=True):
    """A command is done: a message has its acknowledgement, a ping (None) its pong."""

    id: int
    ack: Ack | None


class Fail(msgspec.Struct, frozen=True):
    """A command can't be done."""

    id: int
    error: SeanceError


class Stop(msgspec.Struct, frozen=True):
    """It is over. `error` is None when the application wanted it so."""

    error: EndedError | None


Effect = Dial | Write | Hangup | Emit | Answer | Fail | Stop
