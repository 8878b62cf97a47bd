"""The opening handshake of RFC 6455 (section 4.2) on the server side, as pure functions."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16
VERSION: Final = b"13"
# The subprotocol of clients that accept several events in one frame.
BATCH_SUBPROTOCOL: Final = "seance.v1.batch"

Headers = Iterable[tuple[bytes, bytes]]


class Refusal(msgspec.Struct, frozen=True):
    """Why a request can't be upgraded: answer `status` (400, 405 or 426), with `headers` and `reason`."""

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


def check_request(method: str, http_version: str, headers: Headers) -> Refusal | None:
    """Why an opening handshake must be refused, or None. Header names may be in any case."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value.strip())
    if method != "GET":
        return Refusal(405, "a WebSocket opens with GET", ((b"allow", b"GET"),))
    if http_version != "1.1":
        return Refusal(400, "a WebSocket opens over HTTP/1.1")
    if b"websocket" not in _tokens(values, b"upgrade") or b"upgrade" not in _tokens(values, b"connection"):
        return Refusal(426, "this address speaks WebSocket", ((b"upgrade", b"websocket"), (b"connection", b"Upgrade")))
    if values.get(b"sec-websocket-version") != [VERSION]:
        return Refusal(426, "WebSocket version 13 is required", ((b"sec-websocket-version", VERSION),))
    if _has_body(values):
        return Refusal(400, "a WebSocket opens without a body: send neither Content-Length nor Transfer-Encoding")
    keys = values.get(b"sec-websocket-key", [])
    is_good = len(keys) == 1 and _is_key(keys[0])
    return None if is_good else Refusal(400, "Sec-WebSocket-Key must be 16 bytes in base64, once")


def accept_key(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept value for a Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def response(key: bytes, subprotocol: bytes | None = None, extra_headers: Headers = ()) -> bytes:
    """The bytes of the 101 answer. Raises ValueError for a header that has a line break."""
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"upgrade: websocket",
        b"connection: Upgrade",
        b"sec-websocket-accept: " + accept_key(key),
    ]
    if subprotocol is not None:
        lines.append(b"sec-websocket-protocol: " + subprotocol)
    lines.extend(name + b": " + value for name, value in extra_headers)
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise ValueError("a header can't hold a line break")
    return b"\r\n".join((*lines, b"", b""))


def _tokens(values: dict[bytes, list[bytes]], name: bytes) -> set[bytes]:
    return {token.strip().lower() for value in values.get(name, ()) for token in value.split(b",")}


def _has_body(values: dict[bytes, list[bytes]]) -> bool:
    """Whether the request announces a body, whose bytes could be taken for frames."""
    return b"transfer-encoding" in values or any(length != b"0" for length in values.get(b"content-length", ()))


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
