"""Where a session's WebSocket is, made from the address of a gateway."""

from collections.abc import Sequence
from urllib.parse import quote, urlsplit, urlunsplit

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def websocket_urls(urls: str | Sequence[str], session_id: str) -> list[str]:
    """The WebSocket URLs of the session, one for each gateway or balancer. Raises ValueError."""
    bases = [urls] if isinstance(urls, str) else list(urls)
    if not bases:
        raise ValueError("at least one URL is needed")
    return [_websocket_url(base, session_id) for base in bases]


def _websocket_url(base: str, session_id: str) -> str:
    parts = urlsplit(base)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"{base!r} is no address such as http://localhost:8000")
    path = f"{parts.path.rstrip('/')}/ws/{quote(session_id, safe='')}"
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))
