"""The hot state of sessions: open, seats, close. Everything that decides about a seat happens inside one script."""

import asyncio
from collections.abc import Sequence
from enum import IntEnum
from typing import Literal

import msgspec
import structlog

from broker.errors import (
    BacklogFullError,
    LeaseMissingError,
    NameTakenError,
    NotSeatedError,
    SessionClosedError,
    SessionFullError,
    SessionUnknownError,
    UserBannedError,
    UserRemovedError,
)
from broker.events import User, instant
from broker.keys import Keys
from broker.names.comparison import keys_of
from broker.redis.connection import Reply
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.secrecy import concealed
from broker.sessions.bans import Ban
from broker.sessions.epochs import new_epoch, seq_above

IDEMPOTENCY_SECONDS = 86_400

log = structlog.get_logger()


class SessionInfo(msgspec.Struct, frozen=True):
    """What never changes about a session; `created_at` is an instant, `password_hash` is argon2id.

    `slow_consumers` says what happens to who reads too slowly, `multiple_connections` whether one user may be connected
    several times (else the newest connection replaces the older one).
    """

    id: str
    name: str
    created_at: str
    max_users: int
    presence: Literal["full", "summary"]
    spirit: bool
    password_hash: str | None = None
    slow_consumers: Literal["resync", "disconnect"] = "resync"
    multiple_connections: bool = False

    def __repr__(self) -> str:
        return concealed(self, "password_hash")


class SessionState(msgspec.Struct, frozen=True):
    """What changes about a session."""

    is_active: bool
    user_count: int


class Seat(msgspec.Struct, frozen=True):
    """A seat taken (`is_new`) or come back to.

    `seq` is the session's last event so far, a new user's own `user_joined` included. `users` holds one JSON object per
    user, and is empty under `summary` presence.
    """

    is_new: bool
    seq: int
    epoch: str
    user_count: int
    users: tuple[msgspec.Raw, ...]


class Removal(msgspec.Struct, frozen=True):
    """The user who was removed, and whom nobody may come in as or from for a while (`Ban.who`)."""

    user: User
    banned: tuple[str, ...] = ()


class Position(msgspec.Struct, frozen=True):
    """How far a session has come in Redis: its epoch, its last seq, and up to which seq Postgres has everything."""

    epoch: str
    seq: int
    persisted: int


class LeaveOutcome(IntEnum):
    """What ending a connection of a seat did; the values are those that `lua/leave.lua` returns."""

    NOT_HELD = 0
    """The connection does not hold the seat."""
    FREED = 1
    KEPT = 2
    """The seat is kept for the grace time."""
    SHARED = 3
    """Other connections hold the seat."""


class _StoredSeat(msgspec.Struct):
    u: str
    c: str
    m: tuple[tuple[str, str], ...] = ()


_decode_seat = msgspec.json.Decoder(_StoredSeat).decode
_decode_user = msgspec.json.Decoder(User).decode
_encode = msgspec.json.encode

_REFUSALS: dict[bytes, type[Exception]] = {
    b"unleased": LeaseMissingError,
    b"unknown": SessionUnknownError,
    b"closed": SessionClosedError,
    b"removed": UserRemovedError,
    b"banned": UserBannedError,
    b"taken": NameTakenError,
    b"full": SessionFullError,
    b"backlog": BacklogFullError,
    b"absent": NotSeatedError,
}
_INFO_FIELDS = ("name", "created_at", "max_users", "presence", "spirit", "password_hash")
_OPTION_FIELDS = ("slow_consumers", "multiple_connections")


class LiveSessions:
    """Hot state in Redis. Every method raises BrokerUnavailableError when Redis can't be reached."""

    def __init__(
        self,
        link: Link,
        scripts: Scripts,
        *,
        keys: Keys,
        log_events: int = 512,
        log_bytes: int = 1_048_576,
        idle_seconds: int = 86_400,
        grace_seconds: int = 15,
        max_backlog: int = 100_000,
    ) -> None:
        self._link = link
        self._scripts = scripts
        self._keys = keys
        self._log_events = log_events
        self._log_bytes = log_bytes
        self._idle_seconds = idle_seconds
        self._grace_ms = grace_seconds * 1000
        self._max_backlog = max_backlog

    def key(self, session_id: str) -> str:
        """The session's hash and channel."""
        return self._keys.session(self._keys.partition_of(session_id), session_id)

    def _keys_of(self, session_id: str) -> tuple[str, str]:
        partition = self._keys.partition_of(session_id)
        return self._keys.session(partition, session_id), self._keys.part(partition)

    async def info(self, session_id: str) -> SessionInfo | None:
        """The session, when Redis holds its hot state."""
        values = await self._link.call("HMGET", self.key(session_id), *_INFO_FIELDS, *_OPTION_FIELDS)
        if values[0] is None:
            return None
        name, created_at, max_users, presence, spirit, password_hash = (value.decode() for value in values[:6])
        slow_consumers, multiple_connections = values[6:]  # absent in hot state that an older version opened
        return SessionInfo(
            session_id,
            name,
            created_at,
            int(max_users),
            presence,
            spirit == "1",
            password_hash or None,
            "resync" if slow_consumers is None else slow_consumers.decode(),
            multiple_connections == b"1",
        )

    async def open(
        self,
        info: SessionInfo,
        *,
        is_active: bool = True,
        max_seq: int | None = None,
        removed_user_ids: Sequence[str] = (),
        bans: Sequence[Ban] = (),
    ) -> None:
        """Load a session from Postgres as hot state with a new epoch; nothing happens when it is hot already.

        `max_seq` None says that the session is brand new. Otherwise Redis held it once, and messages that Postgres has
        not seen yet may still lie in the stream or in a worker's hands: the new epoch starts at a multiple of a million
        that is more than a million above `max_seq`, so that no seq is ever given twice.
        """
        seq = 0 if max_seq is None else seq_above(max_seq)
        fields: dict[str, str | int] = {
            "name": info.name,
            "created_at": info.created_at,
            "max_users": info.max_users,
            "presence": info.presence,
            "spirit": int(info.spirit),
            "password_hash": info.password_hash or "",
            "slow_consumers": info.slow_consumers,
            "multiple_connections": int(info.multiple_connections),
            "is_active": int(is_active),
            "log_events": self._log_events,
            "log_bytes": self._log_bytes,
        }
        flat = [item for pair in fields.items() for item in pair]
        banned = [argument for ban in bans for argument in ban.arguments]
        lists = (*removed_user_ids, "--", *banned, "--", *flat)
        await self._scripts.call("open", (self.key(info.id),), new_epoch(), seq, self._idle_seconds, *lists)

    async def join(
        self,
        session_id: str,
        user: User,
        *,
        gateway: str,
        connection: str,
        address: str = "",
        is_exempt: bool = False,
    ) -> Seat:
        """Take a seat, or come back to the one that the same user id holds.

        The connection that had the seat is replaced, unless the session allows several connections of one user (16; the
        oldest one beyond that is replaced). `address` is a hash of the client's address, which is kept with the seat;
        no ban keeps a user out who `is_exempt`.

        Raises LeaseMissingError, SessionUnknownError, SessionClosedError, UserRemovedError, UserBannedError,
        NameTakenError, SessionFullError or BacklogFullError.
        """
        assert user.id is not None
        reply = await self._scripts.call(
            "join",
            self._keys_of(session_id),
            user.id,
            _encode(user),
            _encode(keys_of(user.name)),
            gateway,
            connection,
            instant(),
            self._link.keeper.connects_total,
            self._max_backlog,
            address,
            int(is_exempt),
        )
        outcome = reply[0]
        if outcome in _REFUSALS:
            raise _REFUSALS[outcome]
        users = tuple(msgspec.Raw(_decode_seat(raw).u.encode()) for raw in reply[4:])
        return Seat(outcome == b"joined", reply[1], reply[2].decode(), reply[3], users)

    def position(self, session_id: str) -> "asyncio.Future[Position | None]":
        """How far the session has come; None when Redis does not hold the session. The command leaves now."""
        return self._link.ask(_position, "HMGET", self.key(session_id), "epoch", "seq", "persisted")

    def refused(self, session_id: str, seqs: Sequence[int]) -> "asyncio.Future[tuple[int, ...]]":
        """Which of these messages Postgres has refused for good within the last minutes. The command leaves now."""
        partition = self._keys.partition_of(session_id)

        def marked(reply: Reply) -> tuple[int, ...]:
            return tuple(seq for seq, mark in zip(seqs, reply, strict=False) if mark is not None)

        # Redis wants one key at least; 0 is nobody's seq.
        marks = [self._keys.refused(partition, session_id, seq) for seq in seqs or (0,)]
        return self._link.ask(marked, "MGET", *marks)

    def fence(self, session_id: str, *, epoch: str, seen: int, is_rewritten: bool = False) -> "asyncio.Future[bool]":
        """Give the session another epoch when Redis, still in `epoch`, has not come to the seq that was handed out.

        With `is_rewritten` also when Redis has come as far by now, because Redis holds other events, or lacked some
        whose seqs other events have got since. However many gateways ask, the epoch changes once; the result is True
        for the caller that changed it. The command leaves now.
        """

        def changed(reply: Reply) -> bool:
            if reply == 1:
                log.warning("session.fenced", session_id=session_id, epoch=epoch, seen=seen, is_rewritten=is_rewritten)
            return bool(reply == 1)

        return self._scripts.ask(
            changed, "fence", self._keys_of(session_id), epoch, seen, new_epoch(), int(is_rewritten)
        )

    def leave(self, session_id: str, user_id: str, *, connection: str, is_lost: bool) -> "asyncio.Future[LeaveOutcome]":
        """End a connection of a seat; the last connection frees the seat: at once, or after the grace time if lost."""
        return self._scripts.ask(
            LeaveOutcome,
            "leave",
            self._keys_of(session_id),
            user_id,
            connection,
            "lost" if is_lost else "left",
            instant(),
            self._grace_ms,
        )

    async def remove(
        self,
        session_id: str,
        user_id: str,
        *,
        earlier: User | None = None,
        ban_seconds: int = 0,
        with_addresses: bool = False,
    ) -> Removal:
        """Remove a user for the host: the user's tokens admit no more, and for `ban_seconds` the name gets no new seat.

        `with_addresses` bans the addresses that the user connected from as well. `earlier` is the same user as Postgres
        knows it, who may have no seat now. Raises SessionUnknownError or SessionClosedError, and NotSeatedError when
        the user has no seat and `earlier` is None.
        """
        known = (b"", b"") if earlier is None else (_encode(earlier), _encode(keys_of(earlier.name)))
        reply = await self._scripts.call(
            "remove",
            self._keys_of(session_id),
            user_id,
            instant(),
            *known,
            ban_seconds * 1000,
            int(with_addresses),
        )
        if reply[0] in _REFUSALS and reply[0] != b"removed":
            raise _REFUSALS[reply[0]]
        return Removal(_decode_user(reply[1]), tuple(who.decode() for who in reply[2:]))

    async def close(self, session_id: str) -> int:
        """Close the session and return its last seq. Closing twice is fine. Raises SessionUnknownError."""
        reply = await self._scripts.call("close", self._keys_of(session_id), instant())
        if reply == b"unknown":
            raise SessionUnknownError
        return int(reply)

    async def state(self, session_id: str) -> SessionState:
        """Whether it is open, and how many seats are taken. Raises SessionUnknownError."""
        key = self.key(session_id)
        active = self._link.call("HGET", key, "is_active")
        count = self._link.call("HLEN", key + ":users")
        is_active, user_count = await asyncio.gather(active, count)
        if is_active is None:
            raise SessionUnknownError
        return SessionState(is_active == b"1", user_count)

    async def is_removed(self, session_id: str, user_id: str) -> bool | None:
        """Whether the host removed the user; None when Redis does not hold the session."""
        key = self.key(session_id)
        is_held = self._link.call("HEXISTS", key, "epoch")
        is_removed = self._link.call("SISMEMBER", key + ":removed", user_id)
        held, removed = await asyncio.gather(is_held, is_removed)
        return removed == 1 if held == 1 else None

    async def users(self, session_id: str) -> list[User]:
        """Everyone who holds a seat now, on any gateway."""
        seats = await self._link.call("HVALS", self.key(session_id) + ":users")
        return [_decode_user(_decode_seat(raw).u) for raw in seats]

    async def holders(self, session_id: str, user_id: str) -> tuple[str, ...]:
        """The connections that hold the user's seat now, the oldest first, or the one that did when it was lost."""
        return (await self.seat_holders(session_id, [user_id]))[0]

    def seat_holders(self, session_id: str, user_ids: Sequence[str]) -> "asyncio.Future[list[tuple[str, ...]]]":
        """For each user what `holders` tells; empty for a user without a seat. The command leaves now."""
        return self._link.ask(_holders, "HMGET", self.key(session_id) + ":users", *user_ids)

    async def remember(self, digest: str, fingerprint: str, session_id: str) -> tuple[str, str]:
        """Keep what an Idempotency-Key stands for, for 24 h; returns what was kept first: (fingerprint, session id)."""
        key = self._keys.idempotency(digest)
        stored = self._link.call("SET", key, f"{fingerprint} {session_id}", "NX", "GET", "EX", IDEMPOTENCY_SECONDS)
        first = await stored
        if first is None:
            return fingerprint, session_id
        kept_fingerprint, kept_id = first.decode().split(" ")
        return kept_fingerprint, kept_id

    async def forget(self, digest: str) -> None:
        """Forget what an Idempotency-Key stands for."""
        await self._link.call("DEL", self._keys.idempotency(digest))


def _position(reply: Reply) -> Position | None:
    epoch, seq, persisted = reply
    return None if epoch is None else Position(epoch.decode(), int(seq), int(persisted or 0))


def _holders(reply: Reply) -> list[tuple[str, ...]]:
    return [() if raw is None else _connections(_decode_seat(raw)) for raw in reply]


def _connections(seat: _StoredSeat) -> tuple[str, ...]:
    """The oldest first."""
    return *(connection for connection, _lease in seat.m), seat.c
