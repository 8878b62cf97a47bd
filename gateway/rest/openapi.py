"""The OpenAPI 3.1 document, made from the operations and from the structs that validate their requests."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec

from gateway.access.authority import Anonymous, Permission
from gateway.rest.envelope import AnswerMeta, Failure
from gateway.rest.operation import ERRORS, Operation

REF = "#/components/schemas/{name}"

_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The request's id, as sent or made; the log lines carry it.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "The authentication scheme that the operation needs.",
        "schema": {"type": "string"},
    },
    "Allow": {"description": "The methods that the path knows.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
}
_HEADER_OF_STATUS = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}
_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "An id of the client's for this request; it is echoed and logged. One that is not 1 to 128 "
    "printable ASCII characters is passed over.",
    "schema": {"type": "string"},
}
# Of the middleware, and of the router.
_EVERYWHERE = ("malformed_request", "forbidden", "method_not_allowed", "misdirected_request", "internal_error")
_placeholders = re.compile(r"\{(\w+)\}").findall


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document, as objects that JSON can encode."""
    operations = tuple(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Séance",
            "version": version("seance"),
            "description": "Live sessions over WebSocket: this is the REST side, for hosts and servers.",
        },
        # Relative to the document, which a proxy may serve below a path of its own.
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "headers": _HEADERS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def error_codes(operation: Operation) -> tuple[str, ...]:
    """Every error code that the operation may answer, by status; codes that follow from its fields included."""
    codes = {*operation.errors, *_EVERYWHERE}
    if operation.path.startswith("/api/"):
        codes.add("validation_error")
    if "{id}" in operation.path:
        codes.add("session_not_found")
    if operation.permission is not None:
        codes |= {"unauthorized", "forbidden"}
    if operation.body is not None:
        codes |= {"malformed_json", "request_timeout", "unsupported_media_type"}
    if operation.method != "GET":
        codes.add("payload_too_large")
    if operation.limits:
        codes.add("rate_limited")
    return tuple(sorted(codes, key=lambda code: (ERRORS[code][0], code)))


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    structs = [
        struct for operation in operations for struct in (operation.answer, operation.brief_answer, operation.body)
    ]
    used = [struct for struct in dict.fromkeys(structs) if struct is not None]
    _, schemas = msgspec.json.schema_components([AnswerMeta, Failure, *used], ref_template=REF)
    return schemas


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.handler.__module__.rpartition(".")[2]],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_header_parameters(operation)],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": _ref(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.permission is not None:
        # An empty requirement says that a token is optional.
        is_optional = operation.permission.anonymous is not Anonymous.NOBODY
        described["security"] = [*([{}] if is_optional else []), {"token": []}]
        described["description"] += _permission_in_words(operation.permission)
    return described


def _permission_in_words(permission: Permission) -> str:
    *others, last = (f"`{scope}`" for scope in permission.scopes)
    needs = f" Needs a token with scope {', '.join(others)} or {last}"
    if permission.anonymous is Anonymous.NOBODY:
        return f"{needs}."
    return f"{needs}; with `AUTH_MODE=open` serves {permission.anonymous.value}, without a token."


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    schema = {"type": "string", "format": "uuid"}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in _placeholders(operation.path)]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    _, schemas = msgspec.json.schema_components([operation.query], ref_template=REF)
    properties = schemas[operation.query.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": _without_null(schema)} for name, schema in properties.items()]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that may be absent, but is never null."""
    schema = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
    members = [member for member in schema.pop("anyOf", []) if member != {"type": "null"}]
    for member in members:
        schema |= member
    return schema


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    own = [{"name": name, "in": "header", **described} for name, described in (operation.request_headers or {}).items()]
    return [*own, _REQUEST_ID]


def _responses(operation: Operation) -> dict[str, Any]:
    responses = {str(operation.status): _success(operation)}
    for status, description in (operation.other_statuses or {}).items():
        responses[str(status)] = {**_success(operation), "description": description}
    for code in error_codes(operation):
        status, meaning = ERRORS[code]
        response = responses.setdefault(str(status), _failure(status))
        response["description"] = f"{response['description']} `{code}`: {meaning}".strip()
    return responses


def _success(operation: Operation) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    for name, description in (operation.headers or {}).items():
        headers[name] = {"description": description, "schema": {"type": "string"}}
    response: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase + ".", "headers": headers}
    schema: dict[str, Any] = {"type": "string"} if operation.answer is None else _ref(operation.answer)
    if operation.brief_answer is not None:
        schema = {"anyOf": [schema, _ref(operation.brief_answer)]}
    content = _enveloped(schema) if operation.is_enveloped else schema
    response["content"] = {operation.media_type: {"schema": content}}
    return response


def _failure(status: int) -> dict[str, Any]:
    names = ["X-Request-ID", *([_HEADER_OF_STATUS[status]] if status in _HEADER_OF_STATUS else [])]
    return {
        "description": "",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {"application/json": {"schema": _ref(Failure)}},
    }


def _enveloped(data: dict[str, Any]) -> dict[str, Any]:
    """The schema of `Success` with this schema of `data`."""
    return {
        "type": "object",
        "required": ["success", "data", "error", "meta"],
        "properties": {"success": {"const": True}, "data": data, "error": {"type": "null"}, "meta": _ref(AnswerMeta)},
    }


def _ref(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {"$ref": REF.format(name=struct.__name__)}
