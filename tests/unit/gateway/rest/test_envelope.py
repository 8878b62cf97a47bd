"""The envelope and the request id."""

import json
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from starlette.requests import Request
from starlette.types import Scope

from gateway.errors import ApiError, Detail
from gateway.rest.envelope import bare, failure, request_id, success


class Answer(msgspec.Struct):
    """Some data."""

    name: str


def scope(given_id: str | None = None) -> Scope:
    headers = [] if given_id is None else [(b"x-request-id", given_id.encode("latin-1"))]
    return {"type": "http", "method": "GET", "path": "/", "headers": headers}


def test_a_success_has_data_and_a_timestamp() -> None:
    """A success has the data, no error, and the time in UTC with milliseconds."""
    response = success(Request(scope("abc")), Answer("Ana"), status=201, headers={"Location": "/x"})
    body = json.loads(bytes(response.body))
    timestamp = body["meta"].pop("timestamp")
    assert body == {"success": True, "data": {"name": "Ana"}, "error": None, "meta": {"request_id": "abc"}}
    assert len(timestamp) == len("2026-11-22T21:05:00.123Z")
    assert datetime.fromisoformat(timestamp).utcoffset() == timedelta(0)
    assert (response.status_code, response.headers["Location"]) == (201, "/x")
    assert response.headers["Content-Type"] == "application/json"


def test_a_failure_has_code_message_and_details() -> None:
    """A failure has no data, the code, the message, each detail, and the error's headers."""
    error = ApiError(422, "validation_error", "no", [Detail("name", "is required")], {"Retry-After": "2"})
    response = failure(Request(scope("abc")), error)
    body = json.loads(bytes(response.body))
    assert (body["success"], body["data"]) == (False, None)
    assert body["error"] == {
        "code": "validation_error",
        "message": "no",
        "details": [{"field": "name", "message": "is required"}],
    }
    assert (response.status_code, response.headers["Retry-After"]) == (422, "2")


def test_a_failure_without_details_has_an_empty_list() -> None:
    """The list of details is present even when it is empty."""
    body = json.loads(bytes(failure(Request(scope()), ApiError(404, "not_found", "no")).body))
    assert body["error"]["details"] == []


def test_a_bare_answer_has_no_envelope() -> None:
    """A bare answer has the data and nothing else."""
    assert bytes(bare(Answer("Ana"), status=503).body) == b'{"name":"Ana"}'


@pytest.mark.parametrize("given_id", ["a", "a b~!", "x" * 128])
def test_a_usable_request_id_is_kept(given_id: str) -> None:
    """A usable X-Request-ID is kept unchanged."""
    assert request_id(scope(given_id)) == given_id


@pytest.mark.parametrize("given_id", [None, "", "x" * 129, "é", "a\x7f", "a\tb", "a\n"])
def test_an_unusable_request_id_is_replaced_once(given_id: str | None) -> None:
    """Without a usable id a new one is made, once for the whole request."""
    one = scope(given_id)
    made = request_id(one)
    assert str(UUID(made)) == made
    assert request_id(one) == made
