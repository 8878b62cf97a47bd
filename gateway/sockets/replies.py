"""What a gateway says to one client: the server objects without seq, as JSON."""

from typing import Literal

import msgspec

from broker.events import User
from broker.sessions import SessionInfo
from gateway.sockets.commands import CommandId

RETRY_MS = 1000

Level = Literal["accepted", "persisted"]

_encode = msgspec.json.Encoder().encode


class WelcomeSession(msgspec.Struct, frozen=True):
    """The session that was joined."""

    id: str
    name: str
    created_at: str
    max_users: int
    presence: Literal["full", "summary"]
    spirit: bool


class Resumed(msgspec.Struct, frozen=True):
    """Whether what was missed follows, from where, and how many events."""

    recovered: bool = False
    source: Literal["log", "history", "none"] = "none"
    missed: int = 0


class Welcome(msgspec.Struct, frozen=True):
    """The answer to `join`."""

    session: WelcomeSession
    you: User
    users: tuple[msgspec.Raw, ...]
    user_count: int
    seq: int
    epoch: str
    token: str
    resumed: Resumed
    heartbeat_seconds: int


class Ack(msgspec.Struct, frozen=True):
    """The answer to `message`."""

    seq: int
    message_id: str
    level: Level


class ErrorData(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong; `field` names the field of the command when one is to blame."""

    code: str
    message: str
    retryable: bool = msgspec.field(default_factory=bool)  # a factory, so that false is not omitted
    field: str | None = None
    retry_after_ms: int | None = None


def welcome(command_id: CommandId, data: Welcome) -> bytes:
    """`welcome`."""
    return _answer("welcome", command_id, _encode(data))


def session_of(info: SessionInfo) -> WelcomeSession:
    """What a client learns about the session."""
    return WelcomeSession(info.id, info.name, info.created_at, info.max_users, info.presence, info.spirit)


def ack(command_id: CommandId, seq: int, message_id: str, level: Level = "accepted") -> bytes:
    """`ack` of a message that is ordered and on its way, or committed."""
    return _answer("ack", command_id, _encode(Ack(seq, message_id, level)))


def pong(command_id: CommandId) -> bytes:
    """`pong`."""
    return _answer("pong", command_id, b"{}")


def error(command_id: CommandId, data: ErrorData) -> bytes:
    """`error`."""
    return _answer("error", command_id, _encode(data))


def gap(first: int, last: int) -> bytes:
    """`gap`: events `first` to `last` could not be delivered here."""
    return b'{"type":"gap","data":{"from":%d,"to":%d}}' % (first, last)


def persisted(seq: int) -> bytes:
    """`persisted`: every event up to `seq` is committed in Postgres."""
    return b'{"type":"persisted","data":{"seq":%d}}' % seq


def presence_changed(ts: str, user_count: int) -> bytes:
    """`presence_changed`."""
    return b'{"type":"presence_changed","ts":"%b","data":{"user_count":%d}}' % (ts.encode(), user_count)


def reconnect(reason: str, after_ms: int) -> bytes:
    """`reconnect`: go elsewhere, the connection is about to be closed."""
    return b'{"type":"reconnect","data":{"reason":"%b","after_ms":%d}}' % (reason.encode(), after_ms)


def _answer(kind: str, command_id: CommandId, data: bytes) -> bytes:
    middle = b"" if command_id is None else b',"id":' + _encode(command_id)
    return b'{"type":"' + kind.encode() + b'"' + middle + b',"data":' + data + b"}"
