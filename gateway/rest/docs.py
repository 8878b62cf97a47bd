"""The documentation pages: Swagger UI from our own files, and the document that it shows. Nothing else is loaded."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from swagger_ui_bundle import swagger_ui_path

from gateway.rest.operation import Handler
from gateway.services import Services

# Swagger UI writes style attributes and draws its icons from data URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Séance API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>Without JavaScript there is only <a href="/openapi.json">the document itself</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // No check of the document by a server elsewhere.
  validatorUrl: null,
});
"""


async def root(_: Request, __: Services) -> Response:
    """GET /."""
    return RedirectResponse("/docs", 307)


async def page(_: Request, __: Services) -> Response:
    """GET /docs."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"})


def file(name: str) -> Handler:
    """GET /docs/…: a file of Swagger UI."""
    headers = {"Cache-Control": "public, max-age=86400"}

    async def serve_file(_: Request, __: Services) -> Response:
        return FileResponse(swagger_ui_path / name, headers=headers, media_type=_FILES[name])

    return serve_file


async def start(_: Request, __: Services) -> Response:
    """GET /docs/start.js."""
    return Response(_START, media_type="text/javascript")


def serve(document: dict[str, Any]) -> Handler:
    """GET /openapi.json; the document is encoded once."""
    content = msgspec.json.encode(document)

    async def openapi(_: Request, __: Services) -> Response:
        return Response(content, media_type="application/json")

    return openapi


PAGES: dict[str, Handler] = {
    "/": root,
    "/docs": page,
    "/docs/start.js": start,
    **{f"/docs/{name}": file(name) for name in _FILES},
}
