"""The protocol's JSON: frames into envelopes and events, commands into frames."""

from collections.abc import Callable
from typing import Literal

import msgspec

from seance_client.events import (
    Ack,
    Event,
    Gap,
    Level,
    MessageReceived,
    Persisted,
    Position,
    PresenceChanged,
    SessionClosed,
    SpiritThinking,
    TokenExpiring,
    TokenRenewed,
    Unknown,
    User,
    UserJoined,
    UserLeft,
    UserTyping,
    Welcome,
)
from seance_client.secrecy import concealed


class MalformedFrameError(Exception):
    """The gateway sent a frame that breaks the protocol."""


class Envelope(msgspec.Struct, frozen=True):
    """One object of the gateway, its data not decoded yet."""

    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    seq: int | None = None
    ts: str | None = None
    id: int | str | None = None


class Complaint(msgspec.Struct, frozen=True):
    """The data of `error`."""

    code: str
    message: str = ""
    retryable: bool = False
    field: str | None = None
    retry_after_ms: int | None = None


class ReconnectHint(msgspec.Struct, frozen=True):
    """The data of `reconnect`."""

    reason: str = ""
    after_ms: int = 0


class Join(msgspec.Struct, frozen=True, tag="join", omit_defaults=True):
    """The first frame."""

    name: str | None = None
    token: str | None = None
    password: str | None = None
    resume: Position | None = None

    def __repr__(self) -> str:
        return concealed(self, "token", "password")


class Message(msgspec.Struct, frozen=True, tag="message", omit_defaults=True):
    """Say something."""

    id: int
    text: str
    key: str
    ack: Level = "accepted"


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Ask the gateway for a pong."""

    id: int


class Refresh(msgspec.Struct, frozen=True, tag="refresh"):
    """Replace the token of this connection."""

    id: int
    token: str

    def __repr__(self) -> str:
        return concealed(self, "token")


class _Presence(msgspec.Struct, frozen=True):
    user: User
    user_count: int = 0
    reason: str = "left"


class _Message(msgspec.Struct, frozen=True):
    id: str
    session_id: str
    user_id: str | None
    user_name: str
    text: str
    timestamp: str
    is_spirit: bool = False


class _Typing(msgspec.Struct, frozen=True):
    user: User


class _Count(msgspec.Struct, frozen=True):
    user_count: int


class _Seq(msgspec.Struct, frozen=True):
    seq: int


class _Range(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    first: int
    last: int


TYPING = b'{"type":"typing"}'
LEAVE = b'{"type":"leave"}'

Command = Join | Message | Ping | Refresh

encode: Callable[[Command], bytes] = msgspec.json.Encoder().encode
_envelope = msgspec.json.Decoder(Envelope).decode
_envelopes = msgspec.json.Decoder(list[Envelope]).decode
_ack = msgspec.json.Decoder(Ack).decode
_complaint = msgspec.json.Decoder(Complaint).decode
_count = msgspec.json.Decoder(_Count).decode
_hint = msgspec.json.Decoder(ReconnectHint).decode
_message = msgspec.json.Decoder(_Message).decode
_presence = msgspec.json.Decoder(_Presence).decode
_range = msgspec.json.Decoder(_Range).decode
_seq = msgspec.json.Decoder(_Seq).decode
_token_expiring = msgspec.json.Decoder(TokenExpiring).decode
_token_renewed = msgspec.json.Decoder(TokenRenewed).decode
_typing = msgspec.json.Decoder(_Typing).decode
_welcome = msgspec.json.Decoder(Welcome).decode

Content = Welcome | Ack | Complaint | ReconnectHint | Literal["pong"] | Event


def decode(payload: bytes | str) -> list[Envelope]:
    """The objects in one frame: one, or a batch. Raises MalformedFrameError."""
    is_batch = payload[:1] in {b"[", "["}
    try:
        return _envelopes(payload) if is_batch else [_envelope(payload)]
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MalformedFrameError(f"a frame that is no event: {error}") from error


def content(envelope: Envelope) -> Content:
    """The event of an object. An unknown type becomes Unknown. Raises MalformedFrameError."""
    try:
        return _CONTENTS.get(envelope.type, _unknown)(envelope)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MalformedFrameError(f"{envelope.type} with wrong data: {error}") from error


def _place(envelope: Envelope) -> tuple[int, str]:
    """The seq and time of a sequenced event."""
    if envelope.seq is None:
        raise MalformedFrameError(f"{envelope.type} without seq")
    return envelope.seq, envelope.ts or ""


def _message_received(envelope: Envelope) -> MessageReceived:
    data = _message(envelope.data)
    return MessageReceived(
        *_place(envelope),
        data.id,
        data.session_id,
        data.user_id,
        data.user_name,
        data.text,
        data.timestamp,
        data.is_spirit,
    )


def _user_joined(envelope: Envelope) -> UserJoined:
    data = _presence(envelope.data)
    return UserJoined(*_place(envelope), data.user, data.user_count)


def _user_left(envelope: Envelope) -> UserLeft:
    data = _presence(envelope.data)
    return UserLeft(*_place(envelope), data.user, data.user_count, data.reason)


def _gap(envelope: Envelope) -> Gap:
    data = _range(envelope.data)
    return Gap(data.first, data.last)


def _unknown(envelope: Envelope) -> Unknown:
    return Unknown(envelope.type, envelope.seq, envelope.ts, msgspec.json.decode(envelope.data))


_CONTENTS: dict[str, Callable[[Envelope], Content]] = {
    "ack": lambda envelope: _ack(envelope.data),
    "error": lambda envelope: _complaint(envelope.data),
    "gap": _gap,
    "message_received": _message_received,
    "persisted": lambda envelope: Persisted(_seq(envelope.data).seq),
    "pong": lambda _: "pong",
    "presence_changed": lambda envelope: PresenceChanged(envelope.ts or "", _count(envelope.data).user_count),
    "reconnect": lambda envelope: _hint(envelope.data),
    "session_closed": lambda envelope: SessionClosed(*_place(envelope)),
    "spirit_thinking": lambda envelope: SpiritThinking(envelope.ts or ""),
    "token_expiring": lambda envelope: _token_expiring(envelope.data),
    "token_renewed": lambda envelope: _token_renewed(envelope.data),
    "user_joined": _user_joined,
    "user_left": _user_left,
    "user_typing": lambda envelope: UserTyping(envelope.ts or "", _typing(envelope.data).user),
    "welcome": lambda envelope: _welcome(envelope.data),
}
