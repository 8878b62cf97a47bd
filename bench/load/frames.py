"""The client's side of RFC 6455 that a load generator needs: frames made once, nothing parsed."""

from base64 import b64encode
from typing import Final

_SHORT: Final = 126
_MAX_16_BITS: Final = 0xFFFF
# A mask of zeros is valid and changes no byte; the server's work is the same.
_MASK: Final = b"\0\0\0\0"
_TEXT: Final = 0x81
_BINARY: Final = 0x82
_PONG: Final = 0x8A


def text(payload: bytes) -> bytes:
    """One masked text frame."""
    return _frame(_TEXT, payload)


def binary(payload: bytes) -> bytes:
    """One masked binary frame."""
    return _frame(_BINARY, payload)


def pong(payload: bytes) -> bytes:
    """One masked pong."""
    return _frame(_PONG, payload)


def upgrade(path: str, port: int) -> bytes:
    """The opening handshake."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {b64encode(b'seance-benchmark').decode()}\r\n\r\n"
    ).encode()


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < _SHORT:
        return bytes((first, 0x80 | length)) + _MASK + payload
    if length <= _MAX_16_BITS:
        return bytes((first, 0xFE)) + length.to_bytes(2) + _MASK + payload
    return bytes((first, 0xFF)) + length.to_bytes(8) + _MASK + payload
