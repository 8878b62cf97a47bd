"""The exception that becomes an HTTP error answer."""

from collections.abc import Mapping, Sequence

import msgspec


class Detail(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request: a body field, a query parameter, a path parameter or a header."""

    field: str
    message: str


class ApiError(Exception):
    """The request failed: answer with this status, error code and message."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[Detail] = (),
        headers: Mapping[str, str] | None = None,
        *,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.headers = dict(headers or {})
        self.retry_after_ms = retry_after_ms
