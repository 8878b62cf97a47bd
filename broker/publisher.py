"""Publish: a message gets its seq, is kept and sent in one script; ephemeral events are only sent."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from broker import keys
from broker.epochs import SEQ_LEAP
from broker.errors import BacklogFullError, SessionClosedError, SessionUnknownError
from broker.events import Empty, Message, User, UserTypingData, ephemeral, instant, tail
from broker.ids import Ids
from broker.link import Link
from broker.scripts import Scripts
from broker.wire import Reply

KEY_SECONDS = 300

EphemeralKind = Literal["spirit_thinking", "user_typing"]


class Published(msgspec.Struct, frozen=True):
    """Where a message stands in its session; for a repeated key, where the first one does.

    Of a first one it may be known already that Postgres has it (`is_persisted`), or never will (`is_refused`).
    """

    seq: int
    message_id: str
    is_persisted: bool = False
    is_refused: bool = False


_ERRORS: dict[bytes, Callable[[], Exception]] = {
    b"unknown": SessionUnknownError,
    b"closed": SessionClosedError,
    b"backlog": BacklogFullError,
}


class Publisher:
    """Publishes to sessions; errors as for `Link.call`, and those of `published`."""

    def __init__(self, link: Link, scripts: Scripts, *, partitions: int, max_backlog: int) -> None:
        self._link = link
        self._scripts = scripts
        self._partitions = partitions
        self._max_backlog = max_backlog
        self._ids = Ids()
        self.sent_total = 0

    def send(
        self,
        session_id: str,
        *,
        user_id: str | None,
        user_name: str,
        text: str,
        is_spirit: bool = False,
        key: str | None = None,
        is_awaited: bool = False,
    ) -> tuple["asyncio.Future[Reply]", str]:
        """Send a message now; `published(reply, message_id)` reads the outcome from the future's reply.

        `is_awaited` says that somebody waits until it is committed: the channel will be told.
        """
        partition = keys.partition_of(session_id, self._partitions)
        message_id = self._ids.next()
        self.sent_total += 1
        ts = instant()
        body = tail(ts, Message(message_id, session_id, user_id, user_name, text, ts, is_spirit))
        # Only what a person wrote sets the spirit thinking.
        kind = "e" if is_spirit or user_id is None else "m"
        future = self._scripts.call(
            "publish",
            (keys.session(partition, session_id), keys.prefix(partition)),
            body,
            kind,
            user_id or "-",
            message_id,
            self._max_backlog,
            f"{user_id or '-'} {key}" if key else "",
            KEY_SECONDS,
            int(is_awaited),
        )
        return future, message_id

    async def message(self, session_id: str, **fields: Any) -> Published:
        """Publish a message (fields as for `send`) and wait until it is ordered and on its way."""
        future, message_id = self.send(session_id, **fields)
        return published(await future, message_id)

    async def ephemeral(self, session_id: str, event: EphemeralKind, user: User | None = None) -> None:
        """Tell whoever is connected now; `user_typing` does not go back to the user it names."""
        await self.send_ephemeral(session_id, event, user)

    def send_ephemeral(
        self, session_id: str, event: EphemeralKind, user: User | None = None
    ) -> "asyncio.Future[Reply]":
        """`ephemeral` without waiting."""
        channel = keys.session(keys.partition_of(session_id, self._partitions), session_id)
        subject = user.id if user is not None and user.id is not None else "-"
        kind = "a" if subject == "-" else "t"
        body = ephemeral(event, instant(), Empty() if user is None else UserTypingData(user))
        return self._link.call("PUBLISH", channel, f"0 {kind} {subject}\n".encode() + body)


def published(reply: Reply, message_id: str) -> Published:
    """Read the reply of the publish script.

    Raises SessionUnknownError, SessionClosedError or BacklogFullError; nothing was stored then.
    """
    if type(reply) is int:
        return Published(reply, message_id)
    error = _ERRORS.get(reply)
    if error is not None:
        raise error()
    seq, first_id, persisted = reply.split(b" ")
    if persisted == b"refused":
        return Published(int(seq), first_id.decode(), is_refused=True)
    # A watermark of a later epoch says nothing about this message.
    return Published(int(seq), first_id.decode(), is_persisted=0 <= int(persisted) - int(seq) < SEQ_LEAP)
