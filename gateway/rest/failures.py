"""Maps every exception that may leave a handler to the client's answer."""

import math
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from broker.errors import (
    BacklogFullError,
    BrokerError,
    BrokerUnavailableError,
    RateLimitedError,
    SessionBacklogFullError,
    SessionClosedError,
    SessionUnknownError,
)
from gateway.access.passwords import PasswordsBusyError
from gateway.access.token_errors import KeysUnavailableError
from gateway.errors import ApiError
from gateway.rest.envelope import failure
from persistence.errors import DatabaseUnavailableError, NotMigratedError, PersistenceError

RETRY_AFTER_SECONDS = 2

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_UNAVAILABLE: dict[type[Exception], str] = {
    BrokerUnavailableError: "Redis can't be reached; nothing was done",
    SessionUnknownError: "the session's state is being restored; nothing was done",
    BacklogFullError: "too many messages wait to be stored; nothing was done",
    SessionBacklogFullError: "too many messages of this session wait to be stored; nothing was done",
    DatabaseUnavailableError: "Postgres can't be reached; nothing was done",
    KeysUnavailableError: "the token can't be checked right now; nothing was done",
    PasswordsBusyError: "too many passwords wait to be checked; nothing was done",
    # An error reply: out of memory, still loading its data, no longer the master.
    BrokerError: "Redis refused the command; nothing was done",
    NotMigratedError: "the database lacks tables of this version (run `seance migrate`); nothing was done",
    # An error reply: no permission, a limit of the role.
    PersistenceError: "Postgres refused the query; nothing was done",
}
# The answer says less than the error: the log has the rest.
_LOGGED: dict[type[Exception], str] = {
    BrokerError: "redis.refused",
    NotMigratedError: "database.not_migrated",
    PersistenceError: "database.refused",
}
_HTTP_ERRORS = {
    404: ("not_found", "there is nothing under this path"),
    405: ("method_not_allowed", "this path does not know this method"),
    413: ("payload_too_large", "the body is too large"),
}


def handlers() -> dict[Any, Callable[[Request, Any], Awaitable[Response]]]:
    """Exception class → handler, for Starlette's `exception_handlers`."""
    return {
        ApiError: _api_error,
        HTTPException: _http_exception,
        RateLimitedError: _rate_limited,
        SessionClosedError: _session_closed,
        **dict.fromkeys(_UNAVAILABLE, _unavailable),
    }


def refuse(request: Request, error: ApiError) -> Response:
    """Log the error, and make its answer."""
    note = log.warning if error.status >= 500 else log.info  # noqa: PLR2004 - the class of server errors
    fields = {"fields": [detail.field for detail in error.details]} if error.details else {}
    note(
        "request.refused",
        method=request.method,
        path=request.scope["path"],
        status=error.status,
        code=error.code,
        reason=error.message,
        **fields,
    )
    return failure(request, error)


def unavailable(message: str) -> ApiError:
    """Make a 503 with `Retry-After`."""
    return ApiError(503, "unavailable", message, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def nothing_here() -> ApiError:
    """Make the 404 for a path that leads nowhere."""
    return ApiError(404, *_HTTP_ERRORS[404])


async def _api_error(request: Request, error: ApiError) -> Response:
    return refuse(request, error)


async def _http_exception(request: Request, error: HTTPException) -> Response:
    """Answer every exception of Starlette: of its router, its body limit, and whatever a later version raises."""
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted({*headers["Allow"].split(", "), "OPTIONS"}))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    code, message = _HTTP_ERRORS.get(error.status_code) or _in_words(error)
    return refuse(request, ApiError(error.status_code, code, message, headers=headers))


def _in_words(error: HTTPException) -> tuple[str, str]:
    """Code and message of a status that has none of its own: `416` → `range_not_satisfiable`."""
    try:
        status = HTTPStatus(error.status_code)
    except ValueError:
        return f"http_{error.status_code}", error.detail or "the request was refused"
    # Of a fault of the server the detail is for the log.
    message = status.phrase if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else error.detail
    return "_".join(re.findall("[a-z]+", status.phrase.lower())), message or status.phrase


async def _session_closed(request: Request, _: SessionClosedError) -> Response:
    return refuse(request, ApiError(409, "session_closed", "the session is closed"))


async def _rate_limited(request: Request, error: RateLimitedError) -> Response:
    message = f"too many requests ({error.what}); nothing was done: repeat the request after `retry_after_ms`"
    headers = {"Retry-After": str(math.ceil(error.retry_after_ms / 1000))}
    refusal = ApiError(429, "rate_limited", message, headers=headers, retry_after_ms=error.retry_after_ms)
    return refuse(request, refusal)


async def _unavailable(request: Request, error: Exception) -> Response:
    if type(error) not in _UNAVAILABLE:  # such as a DataError: a fault of ours, which no repetition mends
        raise error
    if (event := _LOGGED.get(type(error))) is not None:
        log.error(event, reason=str(error))
    return refuse(request, unavailable(_UNAVAILABLE[type(error)]))
