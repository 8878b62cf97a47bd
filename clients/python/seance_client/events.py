"""The events that the application gets: those of the session, and those of its own connection."""

from typing import Literal

import msgspec

from seance_client.secrecy import concealed

Source = Literal["log", "history", "none"]
Level = Literal["accepted", "persisted"]


class Position(msgspec.Struct, frozen=True):
    """A position in a session: the last event received. A new epoch begins when the session lost events."""

    epoch: str
    seq: int


class User(msgspec.Struct, frozen=True):
    """A user in the session; `id` is None for a server."""

    id: str | None
    name: str


class SessionInfo(msgspec.Struct, frozen=True):
    """The session that was joined; `created_at` is RFC 3339 in UTC."""

    id: str
    name: str = ""
    created_at: str = ""
    max_users: int = 0
    presence: Literal["full", "summary"] = "full"
    spirit: bool = False


class Resumed(msgspec.Struct, frozen=True):
    """Whether the missed events follow, from which store, and how many.

    `missed` is None when there are too many to count; `missed_at_least` is a lower bound then, else 0.
    """

    recovered: bool = False
    source: Source = "none"
    missed: int | None = 0
    missed_at_least: int = 0


class Welcome(msgspec.Struct, frozen=True):
    """The answer to a join: the session, this user, the present users (empty under `summary`), and the position."""

    session: SessionInfo
    you: User
    seq: int
    epoch: str
    token: str
    users: tuple[User, ...] = ()
    user_count: int = 0
    resumed: Resumed = Resumed()
    heartbeat_seconds: float = 25.0
    token_expires_in_seconds: float | None = None

    def __repr__(self) -> str:
        return concealed(self, "token")

    @property
    def position(self) -> Position:
        """The position of the last event that the welcome contains."""
        return Position(self.epoch, self.seq)


class Ack(msgspec.Struct, frozen=True):
    """A message has its `seq`: `accepted` means ordered and on its way, `persisted` means committed in Postgres."""

    seq: int
    message_id: str
    level: Level


class MessageReceived(msgspec.Struct, frozen=True):
    """A message; `user_id` is None when a server published it. Times are RFC 3339 in UTC."""

    seq: int
    ts: str
    id: str
    session_id: str
    user_id: str | None
    user_name: str
    text: str
    timestamp: str
    is_spirit: bool = False


class UserJoined(msgspec.Struct, frozen=True):
    """A user took a seat."""

    seq: int
    ts: str
    user: User
    user_count: int


class UserLeft(msgspec.Struct, frozen=True):
    """A user gave up the seat, was lost, or was removed."""

    seq: int
    ts: str
    user: User
    user_count: int
    reason: str


class SessionClosed(msgspec.Struct, frozen=True):
    """The session was closed; the connection ends."""

    seq: int
    ts: str


class SpiritThinking(msgspec.Struct, frozen=True):
    """The session's AI participant is about to answer."""

    ts: str


class UserTyping(msgspec.Struct, frozen=True):
    """A user is typing."""

    ts: str
    user: User


class PresenceChanged(msgspec.Struct, frozen=True):
    """The number of present users, in sessions with `summary` presence."""

    ts: str
    user_count: int


class Persisted(msgspec.Struct, frozen=True):
    """Every event up to `seq` is committed in Postgres."""

    seq: int


class Gap(msgspec.Struct, frozen=True):
    """The gateway could not deliver the events `first` to `last`; fetch the messages among them over REST."""

    first: int
    last: int


class TokenExpiring(msgspec.Struct, frozen=True):
    """The token ends in so many seconds. With `get_token` the client renews it; else the connection may end (4501)."""

    in_seconds: float


class TokenRenewed(msgspec.Struct, frozen=True):
    """The token of the next join, here and in a later client; the one in the welcome has done its work."""

    token: str
    expires_in_seconds: float

    def __repr__(self) -> str:
        return concealed(self, "token")


class Unknown(msgspec.Struct, frozen=True):
    """An event of a type that this client does not know; `data` is its JSON, decoded."""

    type: str
    seq: int | None
    ts: str | None
    data: object


class ErrorReceived(msgspec.Struct, frozen=True):
    """An error of the gateway that answers no `send`; a close often follows."""

    code: str
    message: str
    retry_after: float | None = None
    """Seconds, when the gateway names a time."""


class Connected(msgspec.Struct, frozen=True):
    """Joined, for the first time or again; the roster in the welcome is the current one."""

    welcome: Welcome


class Recovered(msgspec.Struct, frozen=True):
    """All `missed` events follow. From `history` they are messages only, and `seq` skips the other events.

    `missed` is None when there are too many to count; `missed_at_least` is a lower bound then, else 0.
    """

    source: Source
    missed: int | None
    missed_at_least: int = 0


class NotRecovered(msgspec.Struct, frozen=True):
    """Events after `previous` may be missing; load the history with `after=previous.seq` over REST."""

    previous: Position
    current: Position


class Disconnected(msgspec.Struct, frozen=True):
    """There is no connection. `code` is the WebSocket close code, 1006 without one, or an HTTP status below 1000."""

    code: int
    reason: str
    will_retry: bool
    retry_seconds: float = 0.0


SessionEvent = (
    MessageReceived
    | UserJoined
    | UserLeft
    | SessionClosed
    | SpiritThinking
    | UserTyping
    | PresenceChanged
    | Persisted
    | Gap
    | TokenExpiring
    | TokenRenewed
    | Unknown
)
LocalEvent = Connected | Recovered | NotRecovered | Disconnected | ErrorReceived
Event = SessionEvent | LocalEvent
