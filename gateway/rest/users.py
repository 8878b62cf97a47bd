"""The resource users: lists the users of a session, and removes a user."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from broker.errors import NotSeatedError
from broker.events import User
from gateway.errors import ApiError
from gateway.rest.envelope import success
from gateway.rest.operation import Operation
from gateway.rest.request import NoQuery, authorize, path_id, read_query, session_not_found, when_hot
from gateway.rest.services import Services

PATH = "/api/sessions/{id}/users"


class Users(msgspec.Struct, frozen=True):
    """Everyone who holds a seat, on any gateway."""

    users: tuple[User, ...]
    user_count: int


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
    read_query(request, NoQuery)
    authorize(request, services.tokens, scopes={"host"}, session_id=session_id)
    try:
        user = await when_hot(services, session_id, lambda: services.live_sessions.remove(session_id, user_id))
    except NotSeatedError as exc:
        raise ApiError(404, "user_not_found", "there is no such user in the session now") from exc
    return success(request, RemovedUser(user))


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        handler=present,
        summary="See who is in a session now",
        answer=Users,
        errors=("unavailable",),
    ),
    Operation(
        method="DELETE",
        path=PATH + "/{user_id}",
        handler=remove,
        summary="Remove a user: they are disconnected and their tokens stop working",
        answer=RemovedUser,
        scopes=("host",),
        errors=("user_not_found", "session_closed", "unavailable"),
    ),
)
