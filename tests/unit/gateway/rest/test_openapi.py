"""The OpenAPI document: valid, complete, and true to the routes and structs."""

from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.rest.operation import ERRORS
from gateway.rest.routes import OPERATIONS

PAGES = {"/", "/docs", "/openapi.json", "/asyncapi.json"}


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


async def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    """The document is valid OpenAPI 3.1."""
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


async def test_the_document_has_exactly_the_routes(document: dict[str, Any], app: Starlette) -> None:
    """The document describes the existing routes, with their methods, and no others."""
    routed = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route) and route.path not in PAGES and not route.path.startswith(("/docs/", "/chat"))
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert operations(document).keys() == routed


async def test_every_error_is_described(document: dict[str, Any]) -> None:
    """Every status has a description, every code of a status is named, and every error has the envelope."""
    for operation in operations(document).values():
        for status, response in operation["responses"].items():
            codes = [code for code, (of, _) in ERRORS.items() if f"`{code}`" in response["description"]]
            assert all(ERRORS[code][0] == int(status) for code in codes)
            assert "X-Request-ID" in response["headers"]
            if int(status) >= 400 and codes:
                schema = response["content"]["application/json"]["schema"]
                assert schema["$ref"].endswith(("/Failure", "/Health", "/Ready"))


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("POST", "/api/sessions", {201, 400, 401, 403, 405, 408, 409, 413, 415, 422, 500, 503}),
        ("GET", "/api/sessions/{id}", {200, 401, 403, 404, 405, 422, 500, 503}),
        ("DELETE", "/api/sessions/{id}", {200, 401, 403, 404, 405, 413, 422, 500, 503}),
        ("GET", "/api/sessions/{id}/messages", {200, 401, 403, 404, 405, 422, 500, 503}),
        ("POST", "/api/sessions/{id}/messages", {201, 202, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 500, 503}),
        ("GET", "/api/sessions/{id}/users", {200, 401, 403, 404, 405, 422, 500, 503}),
        ("DELETE", "/api/sessions/{id}/users/{user_id}", {200, 401, 403, 404, 405, 409, 413, 422, 500, 503}),
        ("POST", "/api/sessions/{id}/events", {202, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 500, 503}),
        ("GET", "/health", {200, 405, 500, 503}),
        ("GET", "/ready", {200, 405, 500, 503}),
        ("GET", "/live", {200, 405, 500}),
    ],
)
async def test_each_operation_names_its_statuses(
    document: dict[str, Any], method: str, path: str, statuses: set[int]
) -> None:
    """Each operation names exactly the statuses that it can answer.

    A wrong Host or Origin is refused everywhere, and only the operations of the API are limited.
    """
    found = {int(status) for status in operations(document)[method, path]["responses"]}
    limited = {429} if path.startswith("/api/") else set()
    assert found == statuses | {400, 403, 421} | limited


async def test_headers_are_described(document: dict[str, Any]) -> None:
    """The headers of answers and requests are named at their operations."""
    create = operations(document)["POST", "/api/sessions"]
    assert {"Location", "Idempotency-Replayed"} <= create["responses"]["201"]["headers"].keys()
    assert "Retry-After" in create["responses"]["503"]["headers"]
    assert {"Idempotency-Key", "X-Request-ID"} == {parameter["name"] for parameter in create["parameters"]}
    close = operations(document)["DELETE", "/api/sessions/{id}"]
    assert "WWW-Authenticate" in close["responses"]["401"]["headers"]
    assert close["security"] == [{"token": []}]
    # A token is optional with AUTH_MODE=open.
    read = operations(document)["GET", "/api/sessions/{id}/messages"]
    assert read["security"] == [{}, {"token": []}]
    assert "serves everybody, when the session has no password, without a token" in read["description"]
    assert "security" not in operations(document)["GET", "/live"]


async def test_query_parameters_have_the_validated_bounds(document: dict[str, Any]) -> None:
    """Query parameters have the bounds that are validated, and are never null."""
    found = {p["name"]: p["schema"] for p in operations(document)["GET", "/api/sessions/{id}/messages"]["parameters"]}
    assert found["limit"]["minimum"] == 1
    assert found["limit"]["maximum"] == 200
    assert found["limit"]["default"] == 50
    assert found["before"]["type"] == "integer"
    assert "default" not in found["before"]
    assert found["id"] == {"type": "string", "format": "uuid"}


async def test_body_schemas_are_those_of_the_structs(document: dict[str, Any]) -> None:
    """The schemas of bodies are those of the validating structs, and refuse unknown fields."""
    schema = document["components"]["schemas"]["CreateSession"]
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["max_users"]["maximum"] == 10_000
    assert schema["properties"]["name"]["maxLength"] == 100
    assert sorted(schema["properties"]["slow_consumers"]["enum"]) == ["disconnect", "resync"]
    assert schema["properties"]["multiple_connections"]["default"] is False
    answer = operations(document)["POST", "/api/sessions"]["responses"]["201"]["content"]["application/json"]["schema"]
    assert answer["properties"]["data"] == {"$ref": "#/components/schemas/CreatedSession"}
    assert answer["required"] == ["success", "data", "error", "meta"]


async def test_every_operation_is_described(document: dict[str, Any]) -> None:
    """Every operation says more than its summary, and the guarded ones which token they need."""
    for operation in operations(document).values():
        assert len(operation["description"]) > len(operation["summary"])
        assert ("Needs a token with scope" in operation["description"]) == ("security" in operation)


def test_operation_names_are_unique() -> None:
    """Operation ids are unique, because client generators name functions after them."""
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
