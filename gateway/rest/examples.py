"""One example of each WebSocket message, as instances of the structs that are decoded and encoded."""

import msgspec

from broker import events
from broker.events import Empty, User
from gateway.sockets import closes, commands, replies

_AT = "2026-11-22T21:05:00.123Z"
_ANA = User("5e2dd69b-6a0c-4b4e-9d4b-0c1f4a2f7f11", "Ana")
_BEN = User("0b0f7a56-3f0e-4f3c-8b57-1d8d5d6a9c22", "Ben")
_SESSION_ID = "b5f36fb5-1a68-4cd6-937e-2adfb5c0a8b7"
_MESSAGE_ID = "b84bd86e-51b2-466e-8232-3c3ccfb33115"
_TOKEN = "eyJhbGciOiJIUzI1NiJ9.…"  # noqa: S105 - not a whole one

COMMANDS: tuple[msgspec.Struct, ...] = (
    commands.Join(id=1, name="Ana"),
    commands.Join(id=1, token=_TOKEN, resume=commands.Resume("k3v9Qz1x", 41)),
    commands.Message("Is anybody there?", id=7, key="a-key-of-yours", ack="persisted"),
    commands.Typing(),
    commands.Ping(id="beat"),
    commands.Leave(),
)
EVENTS: tuple[msgspec.Struct, ...] = (
    replies.WelcomeEvent(
        id=1,
        data=replies.Welcome(
            session=replies.WelcomeSession(_SESSION_ID, "Circle", _AT, 6, "full", spirit=True),
            you=_ANA,
            users=tuple(msgspec.Raw(msgspec.json.encode(user)) for user in (_ANA, _BEN)),
            user_count=2,
            seq=41,
            epoch="k3v9Qz1x",
            token=_TOKEN,
            resumed=replies.Resumed(recovered=True, source="log", missed=3),
            heartbeat_seconds=25,
        ),
    ),
    events.UserJoined(_AT, events.UserJoinedData(_BEN, 2), 2),
    events.UserLeft(_AT, events.UserLeftData(_BEN, 1, "lost"), 43),
    events.MessageReceived(
        _AT,
        events.Message(_MESSAGE_ID, _SESSION_ID, _ANA.id, "Ana", "Is anybody there?", _AT, is_spirit=False),
        42,
    ),
    events.SessionClosed(_AT, Empty(), 44),
    events.SpiritThinking(_AT, Empty()),
    events.UserTyping(_AT, events.UserTypingData(_BEN)),
    replies.PresenceChangedEvent(_AT, replies.PresenceChanged(214)),
    replies.PersistedEvent(replies.Persisted(42)),
    replies.GapEvent(replies.Gap(45, 47)),
    replies.ReconnectEvent(replies.Reconnect("restart", 220)),
    replies.AckEvent(id=7, data=replies.Ack(42, _MESSAGE_ID, "persisted")),
    replies.PongEvent(id="beat", data=Empty()),
    replies.ErrorEvent(id=7, data=replies.ErrorData("validation_error", "text must have 1 to 500 …", field="text")),
    replies.ErrorEvent(data=replies.ErrorData(closes.REMOVED.name, closes.REMOVED.message)),
)
