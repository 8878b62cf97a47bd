"""The events that a gateway makes itself, which have no seq: structs and their JSON."""

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from broker.events import Empty, User
from broker.secrecy import concealed
from broker.sessions.live_sessions import SessionInfo
from gateway.limits.rate import Rate
from gateway.protocol import close_codes
from gateway.protocol.commands import CommandId

RETRY_MS = 1000
# Errors that answer a command and keep the connection.
ERRORS: dict[str, str] = {
    "malformed": "The frame is not one JSON object in a text frame; too many in a row end the connection.",
    "unknown_command": "There is no such `type` of command.",
    "validation_error": "A field is missing or not as it must be; `field` names it.",
    "not_joined": "Wait for `welcome` first.",
    "session_closed": "The session is closed; nothing was stored.",
    "rate_limited": "You do this too often: repeat it after `retry_after_ms`. Who goes on for 10 s is disconnected.",
    "unauthorized": "The token of `refresh` is malformed, expired or revoked; the connection keeps the token it has.",
    "forbidden": "The token of `refresh` is of another user, session or scope; the connection keeps the token it has.",
    "unavailable": "Redis can't be reached, or too much waits for Postgres: repeat it, with the same `key`, after "
    "`retry_after_ms`. When it is not retryable, Postgres refuses the message for good.",
}

Level = Literal["accepted", "persisted"]

_encode = msgspec.json.Encoder().encode
# An `error` event with the close's name comes before every close with a code from 4000 on.
_CODES = {"enum": list(dict.fromkeys((*ERRORS, *(ending.name for ending in close_codes.ALL if ending.has_error))))}
# Redis holds users as JSON, which is sent unchanged.
_USER = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
}


class WelcomeSession(msgspec.Struct, frozen=True):
    """The session that was joined."""

    id: str
    name: str
    created_at: str
    max_users: int
    presence: Literal["full", "summary"]
    spirit: bool


class Resumed(msgspec.Struct, frozen=True):
    """Whether the missed events follow, from which store, and how many.

    `missed` is null when more than 10 000 messages follow from `history`; then `missed_at_least` is there.
    """

    recovered: bool = False
    source: Literal["log", "history", "none"] = "none"
    missed: int | None = 0
    missed_at_least: int | msgspec.UnsetType = msgspec.UNSET


class Welcome(msgspec.Struct, frozen=True):
    """The answer to `join`."""

    session: WelcomeSession
    you: User
    users: tuple[Annotated[msgspec.Raw, Meta(extra_json_schema=_USER)], ...]
    user_count: int
    seq: int
    epoch: str
    token: str
    token_expires_in_seconds: int
    resumed: Resumed
    heartbeat_seconds: int

    def __repr__(self) -> str:
        return concealed(self, "token")


class Ack(msgspec.Struct, frozen=True):
    """The answer to `message`."""

    seq: int
    message_id: str
    level: Level


class ErrorData(msgspec.Struct, frozen=True, omit_defaults=True):
    """The error; `field` names the wrong field of the command, if there is one."""

    code: Annotated[str, Meta(extra_json_schema=_CODES)]
    message: str
    retryable: bool = msgspec.field(default_factory=bool)  # a factory, so that false is not omitted
    field: str | None = None
    retry_after_ms: int | None = None


class Gap(msgspec.Struct, frozen=True):
    """The first and the last seq of events that can't be delivered here; the history over REST may have them."""

    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")


class Persisted(msgspec.Struct, frozen=True):
    """Every event up to `seq` is committed in Postgres."""

    seq: int


class PresenceChanged(msgspec.Struct, frozen=True):
    """The number of users in the session."""

    user_count: int


class Reconnect(msgspec.Struct, frozen=True):
    """Why to reconnect, and after how many milliseconds."""

    reason: Literal["restart"]
    after_ms: int


class TokenExpiring(msgspec.Struct, frozen=True):
    """In how many seconds the connection's token ends."""

    in_seconds: int


class TokenRenewed(msgspec.Struct, frozen=True):
    """The token of the next join, and for how many seconds it is valid."""

    token: str
    expires_in_seconds: int

    def __repr__(self) -> str:
        return concealed(self, "token")


class WelcomeEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="welcome"):
    """The answer to `join`: the seat is taken, and events follow."""

    id: CommandId = None
    data: Welcome


class AckEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="ack"):
    """The answer to `message`: the message is in Redis (`accepted`), or committed in Postgres (`persisted`)."""

    id: CommandId = None
    data: Ack


class PongEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="pong"):
    """The answer to `ping`."""

    id: CommandId = None
    data: Empty


class TokenRenewedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="token_renewed"):
    """The answer to `refresh`; without `id` the gateway has renewed the token by itself. Join with it from now on."""

    id: CommandId = None
    data: TokenRenewed


class ErrorEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="error"):
    """A command was not carried out, or the connection is about to be closed (then `code` is the close's name)."""

    id: CommandId = None
    data: ErrorData


class GapEvent(msgspec.Struct, frozen=True, tag="gap"):
    """Events that are no longer in Redis could not be delivered here."""

    data: Gap


class PersistedEvent(msgspec.Struct, frozen=True, tag="persisted"):
    """Every event up to `seq` is committed; sent to clients that asked for such an `ack`."""

    data: Persisted


class PresenceChangedEvent(msgspec.Struct, frozen=True, tag="presence_changed"):
    """The number of users, at most once a second, in `summary` sessions instead of joins and leaves; ephemeral."""

    ts: str
    data: PresenceChanged


class ReconnectEvent(msgspec.Struct, frozen=True, tag="reconnect"):
    """Reconnect to another gateway: a close with 1012 follows."""

    data: Reconnect


class TokenExpiringEvent(msgspec.Struct, frozen=True, tag="token_expiring"):
    """The connection's token ends soon: send `refresh` with another one, else the connection ends with 4501."""

    data: TokenExpiring


def welcome(command_id: CommandId, data: Welcome) -> bytes:
    """Encode `welcome`."""
    return _encode(WelcomeEvent(id=command_id, data=data))


def session_of(info: SessionInfo) -> WelcomeSession:
    """The fields of the session that a client gets."""
    return WelcomeSession(info.id, info.name, info.created_at, info.max_users, info.presence, info.spirit)


def ack(command_id: CommandId, seq: int, message_id: str, level: Level = "accepted") -> bytes:
    """Encode `ack` of a message that is in Redis (`accepted`), or committed in Postgres (`persisted`)."""
    return _encode(AckEvent(id=command_id, data=Ack(seq, message_id, level)))


def pong(command_id: CommandId) -> bytes:
    """Encode `pong`."""
    return _encode(PongEvent(id=command_id, data=Empty()))


def error(command_id: CommandId, data: ErrorData) -> bytes:
    """Encode `error`."""
    return _encode(ErrorEvent(id=command_id, data=data))


def too_fast(command_id: CommandId, rate: Rate, wait_seconds: float, what: str) -> bytes:
    """Encode the `error` of a command that is over the rate of `what`; there is room again after `wait_seconds`."""
    retry_after_ms = max(RETRY_MS, math.ceil(wait_seconds * 1000))
    given = f"more than {rate.per_second:g} {what} a second, after {rate.burst} at once"
    message = f"{given}: nothing was done; repeat it after {retry_after_ms} ms"
    return error(command_id, ErrorData("rate_limited", message, retryable=True, retry_after_ms=retry_after_ms))


def gap(first: int, last: int) -> bytes:
    """Encode `gap`: the log no longer holds the events `first` to `last`."""
    return _encode(GapEvent(Gap(first, last)))


def persisted(seq: int) -> bytes:
    """Encode `persisted`: every event up to `seq` is committed in Postgres."""
    return _encode(PersistedEvent(Persisted(seq)))


def presence_changed(ts: str, user_count: int) -> bytes:
    """Encode `presence_changed`."""
    return _encode(PresenceChangedEvent(ts, PresenceChanged(user_count)))


def token_expiring(in_seconds: int) -> bytes:
    """Encode `token_expiring`."""
    return _encode(TokenExpiringEvent(TokenExpiring(in_seconds)))


def token_renewed(command_id: CommandId, token: str, expires_in_seconds: int) -> bytes:
    """Encode `token_renewed`."""
    return _encode(TokenRenewedEvent(id=command_id, data=TokenRenewed(token, expires_in_seconds)))


def reconnect(reason: Literal["restart"], after_ms: int) -> bytes:
    """Encode `reconnect`: the gateway is about to close the connection."""
    return _encode(ReconnectEvent(Reconnect(reason, after_ms)))
