"""Reads a request's path ids and query, and checks its caller, for the handlers."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

import msgspec
from starlette.requests import HTTPConnection, Request

from broker.errors import SessionUnknownError
from gateway.access.authority import (
    Authority,
    Caller,
    CallerRemovedError,
    Permission,
    SessionMissingError,
    TokenMissingError,
)
from gateway.access.token_errors import TokenError, TokenScopeError, TokenSessionError
from gateway.errors import ApiError, Detail
from gateway.rest.fields import from_texts
from gateway.rest.services import Services

T = TypeVar("T")
Query = TypeVar("Query", bound=msgspec.Struct)

_is_uuid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_CHALLENGE = 'Bearer realm="seance"'
_CALLER = "seance.caller"


class NoQuery(msgspec.Struct, frozen=True):
    """The query of an operation without parameters: every parameter is refused."""


def path_id(connection: HTTPConnection, name: str = "id") -> str:
    """The UUID in the path, in lower case. Raises ApiError 404.

    Whatever is no UUID names nothing, like an id that nobody has: a client handles a mistyped link in one way.
    """
    text = str(connection.path_params[name]).lower()
    if not _is_uuid(text):
        raise _NOT_FOUND.get(name, session_not_found)([Detail(name, f"{name} must be a UUID")])
    return text


def read_query(request: Request, kind: type[Query]) -> Query:
    """Convert the query parameters to the struct. Raises ApiError 422."""
    return from_texts(request.query_params.multi_items(), kind)


async def authorize(request: Request, authority: Authority, permission: Permission) -> None:
    """Check that the caller may do this, before the handler runs; `authorized_caller` then tells who asks.

    Raises ApiError: 401 without a valid token, 403 for a token of another scope or session or of a removed user, 404.
    """
    ids = {name: path_id(request, name) for name in request.path_params}
    try:
        caller = await authority.caller(_bearer(request), permission, ids.get("id"))
    except (TokenScopeError, TokenSessionError) as exc:
        raise ApiError(403, "forbidden", str(exc)) from exc
    except TokenError as exc:
        challenge = f'{_CHALLENGE}, error="invalid_token"'
        raise ApiError(401, "unauthorized", str(exc), headers={"WWW-Authenticate": challenge}) from exc
    except TokenMissingError as exc:
        raise _unauthorized("this needs a token: `Authorization: Bearer <token>`") from exc
    except CallerRemovedError as exc:
        raise ApiError(403, "forbidden", "the host removed this user from the session") from exc
    except SessionMissingError as exc:
        raise session_not_found() from exc
    request.scope[_CALLER] = caller


def authorized_caller(request: Request) -> Caller:
    """Who asks, as `authorize` found."""
    return cast(Caller, request.scope[_CALLER])


async def when_hot(services: Services, session_id: str, call: Callable[[], Awaitable[T]]) -> T:
    """Await `call`; when Redis does not hold the session, rebuild its hot state from Postgres, and call again.

    Raises ApiError 404 when there is no such session.
    """
    try:
        return await call()
    except SessionUnknownError:
        if await services.directory.get(session_id) is None:
            raise session_not_found() from None
        return await call()


def session_not_found(details: Sequence[Detail] = ()) -> ApiError:
    """Make the 404 for a session that Postgres does not hold."""
    return ApiError(404, "session_not_found", "there is no such session", details)


def user_not_found(details: Sequence[Detail] = ()) -> ApiError:
    """Make the 404 for a user who is not in the session, and never was."""
    return ApiError(404, "user_not_found", "there is no such user in the session, and there was none", details)


_NOT_FOUND = {"user_id": user_not_found}


def _bearer(request: Request) -> str | None:
    given = request.headers.getlist("Authorization")
    if not given:
        return None
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer":
        raise _unauthorized("expected one header `Authorization: Bearer <token>`")
    return token.strip()


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": _CHALLENGE})
