"""The documentation pages: the gateway's files, and Swagger UI's files from its package; nothing from other hosts."""

from importlib.resources import files
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from swagger_ui_bundle import swagger_ui_path

from gateway.rest.operation import Handler
from gateway.rest.operators import is_operator
from gateway.rest.services import Services

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# Swagger UI writes style attributes, draws its icons from data URLs, and writes markup from strings: rest.js makes the
# policy `default`, which lets only formatted text pass, and Swagger UI's own sanitizer makes `dompurify`.
_SWAGGER_POLICY = (
    _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    .replace("img-src 'self'", "img-src 'self' data:")
    .replace("trusted-types 'none'", "trusted-types default dompurify")
)
_SWAGGER_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_OWN_FILES = {"rest.js": "text/javascript", "websocket.js": "text/javascript", "docs.css": "text/css"}


async def root(request: Request, services: Services) -> Response:
    """GET /: to the references, or to the chat page where those are not shown.

    Without ROOT_PATH the address is relative, which also leads below the path of a proxy that ends with /.
    """
    prefix = services.settings.path_prefix
    page = "docs" if await is_operator(request, services) else "chat"
    return RedirectResponse(f"{prefix}/{page}" if prefix else page, 307)


def page(name: str, policy: str = _POLICY) -> Handler:
    """GET of a page of the gateway."""
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return _fixed(_read(name), "text/html", headers)


def own_file(name: str) -> Handler:
    """GET /docs/…: a file of the gateway; browsers do not cache it, because it must fit the version of the page."""
    return _fixed(_read(name), _OWN_FILES[name])


def swagger_file(name: str) -> Handler:
    """GET /docs/…: a file of Swagger UI."""
    headers = {"Cache-Control": "public, max-age=86400"}

    async def serve_file(_: Request, __: Services) -> Response:
        return FileResponse(swagger_ui_path / name, headers=headers, media_type=_SWAGGER_FILES[name])

    return serve_file


def serve(document: dict[str, Any]) -> Handler:
    """GET of a JSON document, which is encoded once."""
    return _fixed(msgspec.json.encode(document), "application/json")


def _read(name: str) -> bytes:
    return files("gateway").joinpath("pages", "docs", name).read_bytes()


def _fixed(content: bytes, media_type: str, headers: dict[str, str] | None = None) -> Handler:
    async def serve_content(_: Request, __: Services) -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return serve_content


REFERENCES: dict[str, Handler] = {
    "/docs": page("index.html"),
    "/docs/rest": page("rest.html", _SWAGGER_POLICY),
    "/docs/websocket": page("websocket.html"),
    **{f"/docs/{name}": own_file(name) for name in _OWN_FILES},
    **{f"/docs/{name}": swagger_file(name) for name in _SWAGGER_FILES},
}
