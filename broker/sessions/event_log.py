"""The session's log of recent events, and the event as the log and the channel carry it."""

import asyncio
from enum import Enum

import msgspec

from broker.keys import Keys
from broker.redis.connection import Reply
from broker.redis.link import Link

PAGE = 512


class EventKind(Enum):
    """What an event is for a gateway; the values are the letters that `lua/lib.lua` writes."""

    MESSAGE = b"m"
    """A user's message."""
    OTHER = b"e"
    """Any other sequenced event."""
    USER_REMOVED = b"r"
    """The host removed the user; not sequenced in sessions with `summary` presence."""
    SESSION_CLOSED = b"c"
    TO_OTHERS = b"t"
    """To everyone but the user."""
    TO_ALL = b"a"
    PRESENCE_CHANGED = b"p"
    """The body is the new number of users."""
    REPLACED = b"x"
    """A newer connection of the user replaced the one that the body names."""
    COMMITTED = b"w"
    """Everything up to the seq in the body is committed in Postgres."""
    REFUSED = b"d"
    """Postgres refused the message with the seq in the body for good."""


class Event(msgspec.Struct, frozen=True):
    """One event as it travels: `seq` is 0 when it is not sequenced, `user_id` "-" when it is nobody's.

    `body` is the event's JSON, or for kinds that clients never see a number or an id.
    """

    seq: int
    kind: EventKind
    user_id: str
    body: bytes


_KINDS = {kind.value: kind for kind in EventKind}


def parse(raw: bytes) -> Event:
    """Split what the channel or the log brought; the event's JSON stays as it is. Raises KeyError, ValueError."""
    header, _, body = raw.partition(b"\n")
    seq, kind, subject = header.split(b" ")
    return Event(int(seq), _KINDS[kind], subject.decode(), body)


class EventLog:
    """Reads ranges of recent events."""

    def __init__(self, link: Link, *, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def range(
        self, session_id: str, first: int, last: int | None = None, *, limit: int = PAGE
    ) -> "asyncio.Future[list[Event]]":
        """Events `first` to `last` (to the end, when None) in order of seq, at most `limit`. Raises BrokerError."""
        key = self._keys.log(self._keys.partition_of(session_id), session_id)
        end = "+" if last is None else f"{last}-0"
        return self._link.ask(_events, "XRANGE", key, f"{first}-0", end, "COUNT", limit)


def _events(reply: Reply) -> list[Event]:
    return [parse(fields[1]) for _, fields in reply]
