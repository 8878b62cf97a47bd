"""Every HTTP route of the gateway."""

from collections.abc import Mapping
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.rest import asyncapi, chat, docs, events, health, messages, openapi, sessions, tokens, users
from gateway.rest.limits import guarded
from gateway.rest.operation import Handler, Operation
from gateway.rest.operators import only_operators
from gateway.rest.services import Services

OPERATIONS: tuple[Operation, ...] = (
    *sessions.OPERATIONS,
    *messages.OPERATIONS,
    *users.OPERATIONS,
    *events.OPERATIONS,
    *tokens.OPERATIONS,
    *health.OPERATIONS,
)


def routes(prefix: str = "") -> list[Route]:
    """The routes, for an application whose `state.services` holds the Services. `prefix`: what ROOT_PATH says."""
    by_path: dict[str, dict[str, Handler]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = guarded(operation)
    documents = {"/openapi.json": openapi.document(OPERATIONS), "/asyncapi.json": asyncapi.document(prefix)}
    references = {**docs.REFERENCES, **{path: docs.serve(one) for path, one in documents.items()}}
    shown = {path: only_operators(handler) for path, handler in references.items()}
    for path, handler in {"/": docs.root, **shown, **chat.pages()}.items():
        by_path[path] = {"GET": handler}
    return [_Path(path, handlers) for path, handlers in by_path.items()]


class _Path(Route):
    """One path with all its methods, so that `Allow` names each of them."""

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await handlers[method](request, cast(Services, request.app.state.services))

        super().__init__(path, endpoint, methods=list(handlers), name=path)
