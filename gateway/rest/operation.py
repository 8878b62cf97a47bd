"""One operation of the API as data, from which the routes and the OpenAPI document are made."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.authority import Permission
from gateway.rest.services import Services

Handler = Callable[[Request, Services], Awaitable[Response]]
Method = Literal["GET", "POST", "DELETE"]

# Every error code with its status and its meaning.
ERRORS: dict[str, tuple[int, str]] = {
    "malformed_request": (400, "The request has no Host, two of them, or one that can't be parsed."),
    "malformed_json": (400, "The body is not valid JSON."),
    "unauthorized": (401, "The token is missing, malformed, expired or signed by someone else."),
    "forbidden": (
        403,
        "The token is genuine but does not allow this: another scope or session, a removed user, or no valid Origin.",
    ),
    "not_found": (404, "There is nothing under this path."),
    "session_not_found": (404, "There is no such session."),
    "user_not_found": (404, "There is no such user in the session, and there was none."),
    "method_not_allowed": (405, "The path does not know this method; `Allow` lists those that it knows."),
    "request_timeout": (408, "The body did not come within 10 seconds; the connection is closed."),
    "idempotency_conflict": (409, "The Idempotency-Key was used with another body."),
    "session_closed": (409, "The session is closed."),
    "payload_too_large": (413, "The body is larger than MAX_BODY_BYTES."),
    "unsupported_media_type": (415, "The body is not `application/json` in UTF-8."),
    "misdirected_request": (421, "The Host is not among ALLOWED_HOSTS."),
    "validation_error": (422, "Fields are invalid; `details` names each of them."),
    "rate_limited": (429, "Too many requests of this kind; `Retry-After` says when to try again."),
    "internal_error": (500, "A fault of the server; its log has the request id."),
    "unavailable": (
        503,
        "Redis or Postgres can't be reached, or too much waits; `Retry-After` says when to try again.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`answer` is the struct of `data` under the successful `status`; `query` and `body` are those of the request.

    `brief_answer` is what a request gets instead that may not see all of it. `errors` are codes of ERRORS; those that
    follow from the other fields need not be named. `headers` are those that a successful answer carries, and
    `request_headers` those that the operation reads, with their descriptions.
    """

    method: Method
    path: str
    handler: Handler
    summary: str
    description: str
    status: int = 200
    answer: type[msgspec.Struct] | None = None
    brief_answer: type[msgspec.Struct] | None = None
    is_enveloped: bool = True
    media_type: str = "application/json"
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    permission: Permission | None = None
    """Who may do this; None: everybody."""
    errors: tuple[str, ...] = ()
    headers: dict[str, str] | None = None
    request_headers: dict[str, dict[str, Any]] | None = None
    other_statuses: dict[int, str] | None = None
    limits_too: tuple[str, ...] = ()
    """Limits beside that of reads or writes, which every operation of the API has."""

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits that a request counts for, by their names in the metrics; health endpoints have none."""
        if not self.path.startswith("/api/"):
            return ()
        return ("reads" if self.method == "GET" else "writes", *self.limits_too)

    @property
    def name(self) -> str:
        """The handler's name, unique among all operations."""
        return f"{self.handler.__module__.rpartition('.')[2]}_{self.handler.__name__}"
