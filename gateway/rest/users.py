"""The resource users: lists the users of a session, and removes a user."""

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import structlog
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from broker.errors import NotSeatedError
from broker.events import User
from broker.sessions.bans import Ban
from broker.sessions.live_sessions import Removal
from gateway.access.authority import MODERATE, READ
from gateway.rest.envelope import success
from gateway.rest.failures import unavailable
from gateway.rest.operation import Operation
from gateway.rest.request import NoQuery, path_id, read_query, session_not_found, user_not_found, when_hot
from gateway.rest.services import Services
from persistence.errors import PersistenceError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

PATH = "/api/sessions/{id}/users"

# How long a removal waits until Postgres knows who was in the session, and how often it looks.
STORED_SECONDS = 2.0
LOOK_SECONDS = 0.05


class Users(msgspec.Struct, frozen=True):
    """Everyone who holds a seat, on any gateway."""

    users: tuple[User, ...]
    user_count: int


class RemoveQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the removal keeps out besides the user."""

    ban_address: Annotated[
        Literal["true", "false"],
        Meta(description="`true`: for BAN_SECONDS nobody gets a seat from the user's addresses (IPv6: their /64)."),
    ] = "false"


class RemovedUser(msgspec.Struct, frozen=True):
    """Who was removed."""

    user: User


async def present(request: Request, services: Services) -> Response:
    """GET /api/sessions/{id}/users."""
    session_id = path_id(request)
    read_query(request, NoQuery)
    if await services.directory.get(session_id) is None:
        raise session_not_found()
    users = await services.live_sessions.users(session_id)
    return success(request, Users(tuple(users), len(users)))


async def remove(request: Request, services: Services) -> Response:
    """DELETE /api/sessions/{id}/users/{user_id}."""
    session_id, user_id = path_id(request), path_id(request, "user_id")
    query = read_query(request, RemoveQuery)
    remove_one = partial(
        services.live_sessions.remove,
        session_id,
        user_id,
        ban_seconds=services.settings.ban_seconds,
        with_addresses=query.ban_address == "true",
    )
    try:
        removal = await when_hot(services, session_id, remove_one)
    except NotSeatedError:
        removal = await _remove_absent(services, session_id, user_id, remove_one)
    await _keep_bans(services, session_id, removal)
    return success(request, RemovedUser(removal.user))


async def _keep_bans(services: Services, session_id: str, removal: Removal) -> None:
    """Let Postgres know of the bans, which Redis may lose."""
    expires_at = time.time() + services.settings.ban_seconds
    bans = [Ban(who, expires_at) for who in removal.banned]
    try:
        if bans:
            await services.stored_sessions.ban(session_id, bans)
    except PersistenceError:
        # The bans are in force; they would end early only if Redis lost them too.
        log.warning("session.bans_not_stored", session_id=session_id)


async def _remove_absent(
    services: Services, session_id: str, user_id: str, remove_one: "partial[Coroutine[Any, Any, Removal]]"
) -> Removal:
    """Remove a user who has no seat now, but was in the session before. Raises ApiError: 404, or 503."""
    name = await _stored_name(services, session_id, user_id)
    if name is None:
        raise user_not_found()
    user = User(user_id, name)
    return await when_hot(services, session_id, partial(remove_one, earlier=user))


async def _stored_name(services: Services, session_id: str, user_id: str) -> str | None:
    """The user's name in Postgres; None when everything up to now is stored, and no such user."""
    now = await services.live_sessions.position(session_id)
    name = await services.stored_sessions.user_name(session_id, user_id)
    if name is not None or now is None or now.persisted >= now.seq:
        return name
    try:
        async with asyncio.timeout(STORED_SECONDS):
            while not await _has_stored(services, session_id, now.seq):  # noqa: ASYNC110 - a worker stores
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError as exc:
        raise unavailable("what happened last in the session is not stored yet; repeat the request") from exc
    return await services.stored_sessions.user_name(session_id, user_id)


async def _has_stored(services: Services, session_id: str, seq: int) -> bool:
    position = await services.live_sessions.position(session_id)
    return position is None or position.persisted >= seq


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        handler=present,
        summary="See who is in a session now",
        description=(
            "Everyone who holds a seat on any gateway, also those whose connection was just lost and who may "
            "still return."
        ),
        answer=Users,
        permission=READ,
        errors=("unavailable",),
    ),
    Operation(
        method="DELETE",
        path=PATH + "/{user_id}",
        handler=remove,
        summary="Remove a user: they are disconnected and their tokens stop working",
        description=(
            "The others get `user_left` with reason `removed`. For BAN_SECONDS nobody gets a new seat under the user's "
            "name (compared as names in the session are), also when the user has just left; with `ban_address=true` "
            "nobody gets one from the user's addresses either. Users who have a seat keep it."
        ),
        query=RemoveQuery,
        answer=RemovedUser,
        permission=MODERATE,
        errors=("user_not_found", "session_closed", "unavailable"),
    ),
)
