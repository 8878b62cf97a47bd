"""The chat page: its static files and the browser client's modules, under a strict Content-Security-Policy."""

import gzip
import hashlib
import re
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from gateway.rest.operation import Handler
from gateway.rest.services import Services

# `'self'` of connect-src includes WebSockets to the same host.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
# Comments that fill whole lines; tests/unit/gateway/rest/test_chat.py holds the modules to texts of one line.
_COMMENT = re.compile(rb"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/).)*\*/[ \t]*)$", re.MULTILINE | re.DOTALL)


def without_comments(module: bytes) -> bytes:
    """The module as browsers get it, a quarter smaller. Lines keep their numbers, which errors name."""
    return _COMMENT.sub(lambda comment: b"\n" * comment.group().count(b"\n"), module)


def _serve(content: bytes, media_type: str) -> Handler:
    """GET of one file, held in memory plain and compressed; browsers revalidate the file each time."""
    compressed = gzip.compress(content, mtime=0)
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
    }

    async def serve_file(request: Request, _: Services) -> Response:
        is_compressed = "gzip" in request.headers.get("Accept-Encoding", "")
        # The plain and the compressed representation need different ETags (RFC 9110 section 8.8.3).
        own = f'{tag[:-1]}-gzip"' if is_compressed else tag
        if own in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers={**headers, "ETag": own})
        encoding = {"Content-Encoding": "gzip"} if is_compressed else {}
        body = compressed if is_compressed else content
        return Response(body, media_type=media_type, headers={**headers, **encoding, "ETag": own})

    return serve_file


def _files(folder: Traversable) -> dict[str, Handler]:
    """Every file of the folder that has a known media type, by name."""
    kinds = {file.name: _MEDIA_TYPES.get(file.name.rpartition(".")[2]) for file in folder.iterdir()}
    return {name: _serve(_content(folder / name), kind) for name, kind in kinds.items() if kind is not None}


def _content(file: Traversable) -> bytes:
    content = file.read_bytes()
    return without_comments(content) if file.name.endswith(".js") else content


def pages() -> dict[str, Handler]:
    """The page, its files, and the browser client's modules, which pages of allowed origins may import too."""
    folder = resources.files("gateway") / "pages"
    files = _files(folder / "chat")
    client = _files(folder / "client")
    return {
        "/chat": files.pop("index.html"),
        **{f"/chat/{name}": handler for name, handler in files.items()},
        **{f"/chat/client/{name}": handler for name, handler in client.items()},
    }
