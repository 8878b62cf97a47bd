"""Who may come in: before the upgrade (origin, limits), and at the join (token, password, seat, what was missed)."""

import asyncio
import resource
import uuid
from collections import Counter
from urllib.parse import urlsplit

import msgspec
from starlette.requests import HTTPConnection

from broker.errors import (
    BrokerUnavailableError,
    LeaseMissingError,
    NameTakenError,
    SessionClosedError,
    SessionFullError,
    SessionUnknownError,
    UserRemovedError,
)
from broker.events import User
from broker.sessions.live_sessions import LiveSessions, Seat, SessionInfo
from gateway.access.directory import Directory
from gateway.access.passwords import Passwords, PasswordsBusyError
from gateway.access.tokens import Claims, TokenError, Tokens, TokenScopeError, TokenSessionError
from gateway.errors import ApiError
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.protocol.commands import Join
from gateway.recovery.reader import NotCommittedError, Plan, RecoveryReader
from gateway.rooms.hub import Hub
from gateway.rooms.leave_queue import LeaveQueue
from gateway.rooms.room import Room
from gateway.settings import Settings
from persistence.errors import DatabaseUnavailableError

# Files that a gateway needs besides its sockets: servers, links, the database pool, logs.
FILES_RESERVED = 128


class RefusedError(Exception):
    """This join ends the connection."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


class Admitted(msgspec.Struct, frozen=True):
    """A seat in a room, and how what the user missed is made up for. A join is under way there until `Hub.left`."""

    room: Room
    user: User
    seat: Seat
    plan: Plan


_ENDINGS: dict[type[Exception], Ending] = {
    SessionUnknownError: close_codes.UNAVAILABLE,
    SessionClosedError: close_codes.SESSION_CLOSED,
    SessionFullError: close_codes.SESSION_FULL,
    NameTakenError: close_codes.NAME_TAKEN,
    UserRemovedError: close_codes.UNAUTHORIZED.saying("the host removed this user; the token is no longer good"),
    BrokerUnavailableError: close_codes.UNAVAILABLE,
    LeaseMissingError: close_codes.UNAVAILABLE,
    DatabaseUnavailableError: close_codes.UNAVAILABLE,
    NotCommittedError: close_codes.UNAVAILABLE.saying("what you missed is not stored yet; reconnect in a moment"),
    PasswordsBusyError: close_codes.UNAVAILABLE,
}


class Door:
    """Counts the sockets of this gateway, and refuses requests before the upgrade."""

    def __init__(self, settings: Settings) -> None:
        self._origins = settings.origins
        self._per_address = settings.max_connections_per_address
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._limit = settings.max_connections or max(soft - FILES_RESERVED, 1)
        self._addresses: Counter[str] = Counter()
        self.sockets = 0
        self.is_draining = False

    def check(self, request: HTTPConnection) -> None:
        """Refuse what must not be upgraded. Raises ApiError."""
        if self.is_draining:
            raise ApiError(503, "unavailable", "this gateway is draining", headers={"Retry-After": "1"})
        origin = request.headers.get("origin")
        if origin is not None and not self._is_allowed(origin, request.headers.get("host", "")):
            raise ApiError(403, "forbidden", "this Origin is not among CORS_ORIGINS")
        if self.sockets >= self._limit:
            raise ApiError(503, "unavailable", "this gateway is full", headers={"Retry-After": "5"})
        if self._per_address and self._addresses[address_of(request)] >= self._per_address:
            message = f"more than {self._per_address} connections from this address"
            raise ApiError(429, "too_many_connections", message, headers={"Retry-After": "5"})

    def entered(self, address: str) -> None:
        """A socket was opened."""
        self.sockets += 1
        self._addresses[address] += 1

    def went(self, address: str) -> None:
        """A socket was closed."""
        self.sockets -= 1
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def _is_allowed(self, origin: str, host: str) -> bool:
        return "*" in self._origins or origin.rstrip("/") in self._origins or urlsplit(origin).netloc == host


def address_of(request: HTTPConnection) -> str:
    """The client's address, as the trusted proxies tell it."""
    return request.client.host if request.client is not None else ""


class Admission:
    """Lets users in."""

    def __init__(
        self,
        *,
        hub: Hub,
        sessions: LiveSessions,
        directory: Directory,
        reader: RecoveryReader,
        tokens: Tokens,
        passwords: Passwords,
        leave_queue: LeaveQueue,
        lease: str,
    ) -> None:
        self._hub = hub
        self._sessions = sessions
        self._directory = directory
        self._reader = reader
        self._tokens = tokens
        self._passwords = passwords
        self._leave_queue = leave_queue
        self._lease = lease

    async def find(self, session_id: str) -> SessionInfo | None:
        """The session, when there is one."""
        return self._hub.info(session_id) or await self._directory.get(session_id)

    def token_for(self, session_id: str, user: User) -> str:
        """The token by which this user comes back."""
        assert user.id is not None
        return self._tokens.create_access_token(Claims.user(session_id, user.id, user.name))

    async def admit(self, session_id: str, join: Join, connection_id: str) -> Admitted:
        """A seat for whoever sent `join`. Raises RefusedError."""
        try:
            info = await self.find(session_id)
            if info is None:
                raise RefusedError(close_codes.SESSION_NOT_FOUND)
            user = await self._identify(info, join)
            room = await self._hub.enter(info)
            try:
                return await self._seat(room, user, join, connection_id)
            except BaseException:
                self._hub.left(room)
                raise
        except tuple(_ENDINGS) as error:
            raise RefusedError(_ENDINGS[type(error)]) from error

    async def _seat(self, room: Room, user: User, join: Join, connection_id: str) -> Admitted:
        try:
            seat = await self._join(room.info, user, connection_id)
        except (BrokerUnavailableError, asyncio.CancelledError):
            # Redis may have given the seat before the answer was lost.
            self.withdraw(room.info.id, user, join, connection_id)
            raise
        try:
            plan = await self._reader.plan(room.info, seat, join.resume)
            if plan.is_read:
                await self._check_holder(room.info.id, user, connection_id)
        except BaseException:
            self.withdraw(room.info.id, user, join, connection_id)
            raise
        return Admitted(room, user, seat, plan)

    async def _join(self, info: SessionInfo, user: User, connection_id: str) -> Seat:
        try:
            return await self._sessions.join(info.id, user, gateway=self._lease, connection=connection_id)
        except SessionUnknownError:
            await self._directory.open(info.id)
            return await self._sessions.join(info.id, user, gateway=self._lease, connection=connection_id)

    def withdraw(self, session_id: str, user: User, join: Join, connection_id: str) -> None:
        """Give up a seat whose welcome did not reach the client: without a token nobody can come back to it."""
        self._leave_queue.leave(session_id, user, connection_id, is_lost=join.token is not None)

    async def _check_holder(self, session_id: str, user: User, connection_id: str) -> None:
        """While a store was read, the user may have come back elsewhere, or lost the seat; the room did not see it."""
        assert user.id is not None
        holders = await self._sessions.holders(session_id, user.id)
        if connection_id not in holders:
            raise RefusedError(close_codes.REPLACED if holders else close_codes.RESYNC)

    async def _identify(self, info: SessionInfo, join: Join) -> User:
        """Whom the token or the password proves, or a new user by name."""
        claims = self._claims(info, join)
        if claims is not None and claims.scope == "user":
            return User(claims.user_id, claims.name or "")
        if claims is None and info.password_hash is not None:
            await self._check_password(join.password, info.password_hash)
        if join.name is None:
            raise RefusedError(close_codes.BAD_JOIN.saying("join needs a name"))
        return User(str(uuid.uuid4()), join.name)

    def _claims(self, info: SessionInfo, join: Join) -> Claims | None:
        if join.token is None:
            return None
        try:
            return self._tokens.verify_token(join.token, scopes=("user", "host"), session_id=info.id)
        except (TokenScopeError, TokenSessionError) as error:
            raise RefusedError(close_codes.FORBIDDEN.saying(str(error))) from error
        except TokenError as error:
            raise RefusedError(close_codes.UNAUTHORIZED.saying(str(error))) from error

    async def _check_password(self, password: str | None, password_hash: str) -> None:
        if password is None:
            raise RefusedError(close_codes.UNAUTHORIZED.saying("this session needs a password"))
        if not await self._passwords.verify(password, password_hash):
            raise RefusedError(close_codes.UNAUTHORIZED.saying("the password is wrong"))
