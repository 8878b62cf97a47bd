"""The effects of the state machine: the only way in which it acts on the outside."""

import msgspec

from seance_client.errors import EndedError, SeanceError
from seance_client.events import Ack, Event


class Dial(msgspec.Struct, frozen=True):
    """Open a connection to this server."""

    url: str


class AskToken(msgspec.Struct, frozen=True):
    """Ask the application for a token, unless it is being asked already."""


class Write(msgspec.Struct, frozen=True):
    """Send a text frame."""

    frame: bytes


class Hangup(msgspec.Struct, frozen=True):
    """Drop the connection now, and ignore its remaining frames and its close code."""


class Emit(msgspec.Struct, frozen=True):
    """Give an event to the application."""

    event: Event


class Answer(msgspec.Struct, frozen=True):
    """A command succeeded: a message has its acknowledgement, a ping (None) its pong."""

    id: int
    ack: Ack | None


class Fail(msgspec.Struct, frozen=True):
    """A command failed."""

    id: int
    error: SeanceError


class Stop(msgspec.Struct, frozen=True):
    """The client has ended. `error` is None when the application ended the client."""

    error: EndedError | None


Effect = Dial | AskToken | Write | Hangup | Emit | Answer | Fail | Stop
