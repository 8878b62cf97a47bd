"""Publish: a message gets its seq, is kept and sent in one script; ephemeral events are only sent."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import msgspec

from broker.errors import (
    BacklogFullError,
    BrokerError,
    NotSeatedError,
    RateLimitedError,
    SessionBacklogFullError,
    SessionClosedError,
    SessionUnknownError,
)
from broker.events import Empty, Message, User, UserTypingData, ephemeral, instant, tail
from broker.keys import Keys
from broker.limits.buckets import UNLIMITED, Pace
from broker.pubsub.message_ids import MessageIds
from broker.redis.connection import Reply
from broker.redis.link import Link, settle_future
from broker.redis.scripts import Scripts
from broker.sessions.epochs import SEQ_LEAP

KEY_SECONDS = 300
MAX_SESSION_BACKLOG_BYTES = 8_388_608

EphemeralKind = Literal["spirit_thinking", "user_typing"]


class Published(msgspec.Struct, frozen=True):
    """Where a message stands in its session; for a repeated key, where the first one does.

    Of the first message it may be known already that Postgres has it (`is_persisted`), or never will (`is_refused`).
    """

    seq: int
    message_id: str
    is_persisted: bool = False
    is_refused: bool = False


class Toll(msgspec.Struct, frozen=True):
    """How many tokens a message takes from the bucket of its session, and from that of its user."""

    session: int = 1
    user: int = 0


# What a publish comes to. The errors are those of `Link.call`, and SessionUnknownError, SessionClosedError,
# NotSeatedError, BacklogFullError, SessionBacklogFullError or RateLimitedError: then nothing was stored.
Outcome = Published | BrokerError

_ERRORS: dict[bytes, type[BrokerError]] = {
    b"unknown": SessionUnknownError,
    b"closed": SessionClosedError,
    b"unseated": NotSeatedError,
    b"backlog": BacklogFullError,
    b"session_backlog": SessionBacklogFullError,
}


class Publisher:
    """Publishes to sessions. `session_pace` and `user_pace` are rates of messages, of one session and of one user."""

    def __init__(
        self,
        link: Link,
        scripts: Scripts,
        *,
        keys: Keys,
        max_backlog: int,
        max_session_backlog_bytes: int = MAX_SESSION_BACKLOG_BYTES,
        session_pace: Pace = UNLIMITED,
        user_pace: Pace = UNLIMITED,
    ) -> None:
        self._link = link
        self._scripts = scripts
        self._keys = keys
        self._max_backlog = max_backlog
        self._max_session_backlog_bytes = max_session_backlog_bytes
        self._session_pace = session_pace
        self._user_pace = user_pace
        self._ids = MessageIds()
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
        toll: Toll | None = None,
        settle: Callable[[str, Outcome], None],
    ) -> str:
        """Send a message now and return its id; `settle` is called with it, in the tick in which Redis' answer is read.

        `is_awaited` says that somebody waits until the message is committed: the channel will be told. Without a `toll`
        Redis does not look at the limits of this message.
        """
        keys = self._keys
        partition = keys.partition_of(session_id)
        message_id = self._ids.next()
        self.sent_total += 1
        ts = instant()
        body = tail(ts, Message(message_id, session_id, user_id, user_name, text, ts, is_spirit))
        # Only what a person wrote sets the spirit thinking.
        kind = "e" if is_spirit or user_id is None else "m"
        self._scripts.send(
            partial(_settle, settle, message_id),
            "publish",
            (keys.session(partition, session_id), keys.part(partition)),
            body,
            kind,
            user_id or "-",
            message_id,
            self._max_backlog,
            f"{user_id or '-'} {key}" if key else "",
            KEY_SECONDS,
            int(is_awaited),
            *(self._limits(toll) if toll is not None else ()),
        )
        return message_id

    def _limits(self, toll: Toll) -> tuple[int, ...]:
        session, user = self._session_pace, self._user_pace
        return (
            self._max_session_backlog_bytes,
            *(toll.session, session.interval_us, session.burst_us),
            *(toll.user, user.interval_us, user.burst_us),
        )

    async def message(self, session_id: str, **fields: Any) -> Published:
        """Publish a message (fields as for `send`) and wait until it is ordered and on its way."""
        outcome: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self.send(session_id, **fields, settle=lambda _, result: settle_future(outcome, result))
        return await outcome

    async def ephemeral(self, session_id: str, event: EphemeralKind, user: User | None = None) -> None:
        """Tell everyone who is connected now; `user_typing` does not go back to the user it names."""
        await self.send_ephemeral(session_id, event, user)

    def send_ephemeral(
        self, session_id: str, event: EphemeralKind, user: User | None = None
    ) -> "asyncio.Future[object]":
        """`ephemeral` without waiting."""
        channel = self._keys.session(self._keys.partition_of(session_id), session_id)
        subject = user.id if user is not None and user.id is not None else "-"
        kind = "a" if subject == "-" else "t"
        body = ephemeral(event, instant(), Empty() if user is None else UserTypingData(user))
        return self._link.call("PUBLISH", channel, f"0 {kind} {subject}\n".encode() + body)


def _settle(settle: Callable[[str, Outcome], None], message_id: str, reply: Reply | BrokerError) -> None:
    settle(message_id, Published(reply, message_id) if type(reply) is int else _outcome(reply))


def _outcome(reply: Reply | BrokerError) -> Outcome:
    """Read a reply of the publish script that is not simply the seq."""
    if isinstance(reply, BrokerError):
        return reply
    error = _ERRORS.get(reply)
    if error is not None:
        return error()
    if reply.startswith(b"limited"):
        _, what, wait_ms = reply.split(b" ")
        return RateLimitedError(what.decode(), int(wait_ms))
    seq, first_id, persisted = reply.split(b" ")
    if persisted == b"refused":
        return Published(int(seq), first_id.decode(), is_refused=True)
    # A watermark of a later epoch says nothing about this message.
    is_persisted = 0 <= int(persisted) - int(seq) < SEQ_LEAP
    return Published(int(seq), first_id.decode(), is_persisted=is_persisted)
