"""Reads a request's path ids, query and token for the handlers."""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

import msgspec
from starlette.requests import HTTPConnection, Request

from broker.errors import SessionUnknownError
from gateway.access.tokens import Claims, Scope, TokenError, Tokens, TokenScopeError, TokenSessionError
from gateway.errors import ApiError, Detail
from gateway.rest.fields import from_texts
from gateway.rest.services import Services

T = TypeVar("T")
Query = TypeVar("Query", bound=msgspec.Struct)

_is_uuid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_CHALLENGE = 'Bearer realm="seance"'


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


def authorize(request: Request, tokens: Tokens, *, scopes: Collection[Scope], session_id: str) -> Claims:
    """The claims of the request's bearer token. Raises ApiError: 401, or 403 for another scope or session."""
    try:
        return tokens.verify_token(_bearer(request), scopes=scopes, session_id=session_id)
    except (TokenScopeError, TokenSessionError) as exc:
        raise ApiError(403, "forbidden", str(exc)) from exc
    except TokenError as exc:
        challenge = f'{_CHALLENGE}, error="invalid_token"'
        raise ApiError(401, "unauthorized", str(exc), headers={"WWW-Authenticate": challenge}) from exc


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


def _bearer(request: Request) -> str:
    given = request.headers.getlist("Authorization")
    if not given:
        raise _unauthorized("this needs a token: `Authorization: Bearer <token>`")
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer":
        raise _unauthorized("expected one header `Authorization: Bearer <token>`")
    return token.strip()


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": _CHALLENGE})
