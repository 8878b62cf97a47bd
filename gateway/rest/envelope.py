"""The envelope of every answer, and the request id in the envelope."""

import re
from collections.abc import Mapping
from typing import Annotated, Generic, TypeVar
from uuid import uuid4

import msgspec
from msgspec import Meta
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from broker.events import instant
from gateway.errors import ApiError, Detail

REQUEST_ID_HEADER = "X-Request-ID"
_SCOPE_KEY = "seance.request_id"
_is_usable = re.compile(r"[\x20-\x7e]{1,128}").fullmatch

T = TypeVar("T")


class AnswerMeta(msgspec.Struct, frozen=True):
    """When the answer was made (RFC 3339, UTC, milliseconds), and to which request."""

    timestamp: str
    request_id: str


class ErrorBody(msgspec.Struct, frozen=True):
    """What went wrong: a code for programs, a message for people, each invalid field, and when to try again (429)."""

    code: str
    message: str
    details: tuple[Detail, ...]
    retry_after_ms: int | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, error: ApiError) -> "ErrorBody":
        """The body for this error."""
        wait = msgspec.UNSET if error.retry_after_ms is None else error.retry_after_ms
        return cls(error.code, error.message, error.details, wait)


class Success(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """The answer to a request that was carried out."""

    success: Annotated[bool, Meta(extra_json_schema={"const": True})] = True
    data: T
    error: None = None
    meta: AnswerMeta


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request that was not carried out."""

    success: Annotated[bool, Meta(extra_json_schema={"const": False})] = False
    data: None = None
    error: ErrorBody
    meta: AnswerMeta


# For answers that are no pages: a browser that shows one as a document loads and runs nothing, and no page of another
# origin gets one without CORS.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_encode = msgspec.json.Encoder().encode


def request_id(scope: Scope) -> str:
    """The request's id: the client's X-Request-ID when it has 1-128 printable ASCII characters, else a new id."""
    if _SCOPE_KEY not in scope:
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        scope[_SCOPE_KEY] = given if _is_usable(given) else str(uuid4())
    return str(scope[_SCOPE_KEY])


def success(
    connection: HTTPConnection, data: msgspec.Struct, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Make the answer of a request that succeeded, with `data`."""
    return bare(Success(data=data, meta=_meta(connection)), status=status, headers=headers)


def failure(connection: HTTPConnection, error: ApiError) -> Response:
    """Make the answer of a request that failed, with the headers that Surroundings adds, which it may not pass."""
    meta = _meta(connection)
    body = ErrorBody.of(error)
    headers = {**SECURITY_HEADERS, REQUEST_ID_HEADER: meta.request_id, "Cache-Control": "no-store", **error.headers}
    return bare(Failure(error=body, meta=meta), status=error.status, headers=headers)


def without_request(error: ApiError) -> tuple[dict[str, str], bytes]:
    """Headers and body of the answer to bytes that never became a request, under a new request id."""
    meta = AnswerMeta(timestamp=instant(), request_id=str(uuid4()))
    body = ErrorBody.of(error)
    headers = {**SECURITY_HEADERS, REQUEST_ID_HEADER: meta.request_id, **error.headers}
    return headers, _encode(Failure(error=body, meta=meta))


def bare(content: msgspec.Struct, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Make a JSON answer without envelope."""
    return Response(_encode(content), status, headers, media_type="application/json")


def _meta(connection: HTTPConnection) -> AnswerMeta:
    return AnswerMeta(timestamp=instant(), request_id=request_id(connection.scope))
