"""The session's log of recent events, and the payload that the log and the channel share."""

import asyncio

import msgspec

from broker import keys
from broker.redis.connection import Reply
from broker.redis.link import Link

PAGE = 512


class Event(msgspec.Struct, frozen=True):
    """One event as it travels: `seq` 0 when it is not sequenced, `kind` and `subject` as told in `lua/lib.lua`."""

    seq: int
    kind: bytes
    subject: bytes
    body: bytes


def parse(raw: bytes) -> Event:
    """Split a payload; the event's JSON stays as it is."""
    header, _, body = raw.partition(b"\n")
    seq, kind, subject = header.split(b" ")
    return Event(int(seq), kind, subject, body)


class EventLog:
    """Reads ranges of recent events."""

    def __init__(self, link: Link, *, partitions: int) -> None:
        self._link = link
        self._partitions = partitions

    def send_range(
        self, session_id: str, first: int, last: int | None = None, *, limit: int = PAGE
    ) -> "asyncio.Future[Reply]":
        """Ask for events `first` to `last` (to the end, when None), at most `limit` of them; `read` the reply."""
        key = keys.log(keys.partition_of(session_id, self._partitions), session_id)
        end = "+" if last is None else f"{last}-0"
        return self._link.call("XRANGE", key, f"{first}-0", end, "COUNT", limit)


def read(reply: Reply) -> list[Event]:
    """The events in a reply of `send_range`, in order of seq."""
    return [parse(fields[1]) for _, fields in reply]
