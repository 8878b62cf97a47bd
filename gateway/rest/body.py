"""Decodes a request's JSON body to a struct; refuses ambiguous JSON."""

import asyncio
import json
from email.message import Message
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from gateway.errors import ApiError
from gateway.rest.fields import from_object

# The time limit for the whole body, from its first chunk to its last.
BODY_SECONDS = 10.0

T = TypeVar("T", bound=msgspec.Struct)


class _DuplicateKeyError(ValueError):
    """An object has the same key twice, so that its value is ambiguous."""


async def read_body(request: Request, kind: type[T]) -> T:
    """Read the body, and decode it to the struct. Raises ApiError: 400, 408, 413, 415 or 422."""
    _check_content_type(request)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.body()
    except TimeoutError as exc:
        message = f"the body took longer than {BODY_SECONDS:g} seconds"
        raise ApiError(408, "request_timeout", message, headers={"Connection": "close"}) from exc
    return from_object(parse(body), kind)


def parse(body: bytes) -> object:
    """Parse JSON in UTF-8, without lone surrogates, NaN or repeated keys. Raises ApiError 400 `malformed_json`."""
    if not body.strip():
        raise _malformed("the body is empty")
    try:
        # msgspec checks everything but repeated keys, which the second parser finds.
        msgspec.json.decode(body)
        return json.loads(body.decode(), object_pairs_hook=_unique)
    except RecursionError as exc:
        raise _malformed("the body is nested too deeply") from exc
    except UnicodeDecodeError as exc:
        raise _malformed("the body is not UTF-8") from exc
    except (msgspec.DecodeError, ValueError) as exc:
        raise _malformed(f"the body is not valid JSON: {exc}") from exc


def _check_content_type(request: Request) -> None:
    """Accept only uncompressed JSON in UTF-8. Raises ApiError 415."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _unsupported("the body must not be compressed")
    header = Message()
    header["Content-Type"] = request.headers.get("Content-Type", "")
    # A header that can't be parsed counts as text/plain.
    if header.get_content_type() != "application/json":
        raise _unsupported("the body must be JSON, with `Content-Type: application/json`")
    if str(header.get_param("charset", "utf-8")).lower() not in {"utf-8", "utf8"}:
        raise _unsupported("the body must be UTF-8")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise _DuplicateKeyError(f"the key {name[:64]!r} is there twice")
        result[name] = value
    return result


def _malformed(message: str) -> ApiError:
    return ApiError(400, "malformed_json", message)


def _unsupported(message: str) -> ApiError:
    return ApiError(415, "unsupported_media_type", message)
