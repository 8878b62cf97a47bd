"""One example of each WebSocket message, as instances of the structs that are decoded and encoded."""

import msgspec

from broker import events
from broker.events import Empty, User
from gateway.protocol import close_codes, commands, server_events

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
    commands.Refresh(_TOKEN, id=9),
    commands.Leave(),
)
EVENTS: tuple[msgspec.Struct, ...] = (
    server_events.WelcomeEvent(
        id=1,
        data=server_events.Welcome(
            session=server_events.WelcomeSession(_SESSION_ID, "Circle", _AT, 6, "full", spirit=True),
            you=_ANA,
            users=tuple(msgspec.Raw(msgspec.json.encode(user)) for user in (_ANA, _BEN)),
            user_count=2,
            seq=41,
            epoch="k3v9Qz1x",
            token=_TOKEN,
            token_expires_in_seconds=86_400,
            resumed=server_events.Resumed(recovered=True, source="log", missed=3),
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
    server_events.PresenceChangedEvent(_AT, server_events.PresenceChanged(214)),
    server_events.PersistedEvent(server_events.Persisted(42)),
    server_events.GapEvent(server_events.Gap(45, 47)),
    server_events.TokenExpiringEvent(server_events.TokenExpiring(60)),
    server_events.ReconnectEvent(server_events.Reconnect("restart", 220)),
    server_events.AckEvent(id=7, data=server_events.Ack(42, _MESSAGE_ID, "persisted")),
    server_events.PongEvent(id="beat", data=Empty()),
    server_events.TokenRenewedEvent(id=9, data=server_events.TokenRenewed(_TOKEN, 86_400)),
    server_events.ErrorEvent(
        id=7, data=server_events.ErrorData("validation_error", "text must have 1 to 500 …", field="text")
    ),
    server_events.ErrorEvent(data=server_events.ErrorData(close_codes.REMOVED.name, close_codes.REMOVED.message)),
)
