"""Admission: checks the token or the password of a join, takes the seat, and plans the recovery."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from functools import partial

import msgspec

from broker.errors import (
    BacklogFullError,
    BrokerUnavailableError,
    LeaseMissingError,
    NameTakenError,
    RateLimitedError,
    SessionClosedError,
    SessionFullError,
    SessionUnknownError,
    UserBannedError,
    UserRemovedError,
)
from broker.events import User
from broker.sessions.gateway_leases import GatewayLeases
from broker.sessions.live_sessions import LiveSessions, Seat, SessionInfo
from gateway.access.attempts import Attempts
from gateway.access.authority import JOIN
from gateway.access.claims import Claims
from gateway.access.directory import Directory
from gateway.access.hashed_addresses import HashedAddresses
from gateway.access.passwords import PasswordsBusyError
from gateway.access.token_errors import (
    KeysUnavailableError,
    TokenError,
    TokenRevokedError,
    TokenScopeError,
    TokenSessionError,
)
from gateway.access.tokens import Tokens
from gateway.limits.addresses import subject_of
from gateway.limits.limiter import Limiter
from gateway.names.validator import InvalidNameError, normalized_user
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.protocol.commands import Join
from gateway.recovery.reader import NotCommittedError, Plan, RecoveryReader
from gateway.rooms.hub import Hub
from gateway.rooms.leave_queue import LeaveQueue
from persistence.errors import DatabaseUnavailableError, NotMigratedError, PersistenceError


class RefusedError(Exception):
    """The join is refused: end the connection with `ending`."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


class Identified(msgspec.Struct, frozen=True):
    """Who joins which session, and the claims of the token that says so, if there is one."""

    info: SessionInfo
    user: User
    claims: Claims | None

    @property
    def is_host(self) -> bool:
        """Whether the token is a host's or an administrator's, whom no ban keeps out."""
        return self.claims is not None and self.claims.scope in {"host", "admin"}


class Admitted(msgspec.Struct, frozen=True):
    """A user with a seat, the plan by which the user gets the missed events, and the claims of the user's token."""

    user: User
    seat: Seat
    plan: Plan
    claims: Claims | None


_ENDINGS: dict[type[Exception], Ending] = {
    SessionUnknownError: close_codes.UNAVAILABLE,
    SessionClosedError: close_codes.SESSION_CLOSED,
    SessionFullError: close_codes.SESSION_FULL,
    NameTakenError: close_codes.NAME_TAKEN,
    UserRemovedError: close_codes.UNAUTHORIZED.saying("the host removed this user; the token is no longer good"),
    UserBannedError: close_codes.REMOVED.saying(
        "the host removed a person with this name or address from the session; come back later"
    ),
    BacklogFullError: close_codes.UNAVAILABLE.saying("too much waits to be stored; reconnect in a moment"),
    BrokerUnavailableError: close_codes.UNAVAILABLE,
    LeaseMissingError: close_codes.UNAVAILABLE,
    DatabaseUnavailableError: close_codes.UNAVAILABLE,
    NotMigratedError: close_codes.UNAVAILABLE,
    PersistenceError: close_codes.UNAVAILABLE,
    NotCommittedError: close_codes.UNAVAILABLE.saying("what you missed is not stored yet; reconnect in a moment"),
    PasswordsBusyError: close_codes.UNAVAILABLE,
    KeysUnavailableError: close_codes.UNAVAILABLE.saying("the token can't be checked right now; reconnect in a moment"),
}


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn each expected failure of a join into a RefusedError with the connection's ending."""
    try:
        yield
    except RateLimitedError as error:
        raise RefusedError(close_codes.RATE_LIMITED.after(error.retry_after_ms)) from error
    except tuple(_ENDINGS) as error:
        if type(error) not in _ENDINGS:  # such as a DataError: a fault of ours
            raise
        raise RefusedError(_ENDINGS[type(error)]) from error


class Admission:
    """Admits users to sessions; the gateway's `leases` hold their seats."""

    def __init__(
        self,
        *,
        hub: Hub,
        sessions: LiveSessions,
        directory: Directory,
        reader: RecoveryReader,
        tokens: Tokens,
        attempts: Attempts,
        leave_queue: LeaveQueue,
        leases: GatewayLeases,
        limiter: Limiter,
        addresses: HashedAddresses,
        needs_tokens: bool = False,
    ) -> None:
        self._hub = hub
        self._sessions = sessions
        self._directory = directory
        self._reader = reader
        self._tokens = tokens
        self._attempts = attempts
        self._leave_queue = leave_queue
        self._leases = leases
        self._limiter = limiter
        self._addresses = addresses
        self._needs_tokens = needs_tokens

    async def find(self, session_id: str) -> SessionInfo | None:
        """The session, or None when there is no such session."""
        return self._hub.info(session_id) or await self._directory.get(session_id)

    async def identify(self, session_id: str, join: Join, *, address: str) -> Identified:
        """Check the token or the password; returns the session, and the token's user or a new user with the given name.

        `address` is the client's, whose joins are limited, as are the resumes of one user. Raises RefusedError and what
        `refusals` maps.
        """
        subject = subject_of(address)
        await self._limiter.spend(subject, {"joins": subject})
        info = await self.find(session_id)
        if info is None:
            raise RefusedError(close_codes.SESSION_NOT_FOUND)
        claims = await self._claims(info, join)
        if claims is None:
            if self._needs_tokens:
                raise RefusedError(close_codes.UNAUTHORIZED.saying("this server admits only with a token"))
            if info.password_hash is not None:
                await self._check_password(info.id, join.password, info.password_hash, address)
        elif (user_id := claims.user_id_in(info.id)) is not None:
            await self._limiter.spend(user_id, {"resumes": user_id})
        return Identified(info, _user(info.id, join, claims), claims)

    async def admit(self, who: Identified, join: Join, connection_id: str, address: str) -> Admitted:
        """Take a seat for the user, who comes from this address.

        The gateway must have subscribed to the session's channel before.

        Raises RefusedError and what `refusals` maps.
        """
        info, user = who.info, who.user
        lease = self._leases.of(info.id)
        try:
            seat = await self._join(who, lease, connection_id, address)
        except (BrokerUnavailableError, asyncio.CancelledError):
            # Redis may have given the seat, although its answer did not arrive.
            self.withdraw(info.id, user, join, connection_id)
            raise
        try:
            plan = await self._reader.plan(info, seat, join.resume)
            if plan.is_read:
                await self._check_holder(info.id, user, connection_id)
            self._check_lease(info.id, lease)
            self._check_revoked(who.claims)
        except BaseException:
            self.withdraw(info.id, user, join, connection_id)
            raise
        return Admitted(user, seat, plan, who.claims)

    async def _join(self, who: Identified, lease: str, connection_id: str, address: str) -> Seat:
        session_id = who.info.id
        take_seat = partial(
            self._sessions.join,
            session_id,
            who.user,
            gateway=lease,
            connection=connection_id,
            address=self._addresses.hashed(session_id, address),
            is_exempt=who.is_host,
        )
        try:
            return await take_seat()
        except SessionUnknownError:
            await self._directory.open(session_id)
            return await take_seat()

    def withdraw(self, session_id: str, user: User, join: Join, connection_id: str) -> None:
        """Give up a seat whose welcome was not sent.

        Only a client that joined with a token can come back to the seat: only then the grace time applies.
        """
        self._leave_queue.leave(session_id, user, connection_id, is_lost=join.token is not None)

    async def _check_holder(self, session_id: str, user: User, connection_id: str) -> None:
        """Raise RefusedError when the connection lost the seat while a store was read, which the room does not see."""
        assert user.id is not None
        holders = await self._sessions.holders(session_id, user.id)
        if connection_id not in holders:
            raise RefusedError(close_codes.REPLACED if holders else close_codes.RESYNC)

    def _check_lease(self, session_id: str, lease: str) -> None:
        """Raise RefusedError when the lease was lost during the join: then other gateways free the seat."""
        if lease != self._leases.of(session_id):
            raise RefusedError(close_codes.RESYNC)

    def _check_revoked(self, claims: Claims | None) -> None:
        """Raise RefusedError when the token was revoked during the join: so far no room could be told to end it."""
        try:
            self._tokens.check_revoked(claims)
        except TokenRevokedError as error:
            raise RefusedError(close_codes.UNAUTHORIZED.saying(str(error))) from error

    async def _claims(self, info: SessionInfo, join: Join) -> Claims | None:
        if join.token is None:
            return None
        try:
            return await self._tokens.verify_token(join.token, scopes=JOIN.scopes, session_id=info.id)
        except (TokenScopeError, TokenSessionError) as error:
            raise RefusedError(close_codes.FORBIDDEN.saying(str(error))) from error
        except TokenError as error:
            raise RefusedError(close_codes.UNAUTHORIZED.saying(str(error))) from error

    async def _check_password(self, session_id: str, password: str | None, password_hash: str, address: str) -> None:
        if password is None:
            raise RefusedError(close_codes.UNAUTHORIZED.saying("this session needs a password"))
        if not await self._attempts.verify(password, password_hash, session_id=session_id, address=address):
            raise RefusedError(close_codes.UNAUTHORIZED.saying("the password is wrong"))


def _user(session_id: str, join: Join, claims: Claims | None) -> User:
    """The token's user, or a new user under the name in the token or else in the command. Raises RefusedError."""
    name = join.name
    if claims is not None and claims.name is not None:
        try:
            name = normalized_user(claims.name)
        except InvalidNameError as error:
            raise RefusedError(close_codes.UNAUTHORIZED.saying(f"the token's `name` {error}")) from error
    if name is None:
        raise RefusedError(close_codes.BAD_JOIN.saying("join needs a name"))
    user_id = None if claims is None else claims.user_id_in(session_id)
    return User(user_id or str(uuid.uuid4()), name)
