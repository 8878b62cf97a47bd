"""RFC 6455 frames on the server side: events for a client's frames, and the bytes of the server's own frames."""

from enum import IntEnum
from typing import Final

import msgspec

MAX_CONTROL_BYTES: Final = 125
_FINAL_TEXT: Final = 0x81
_FINAL: Final = 0x80
_SHORT: Final = 126  # the second byte holds lengths below 126; 126 announces 16 bits of length, 127 announces 64
_MAX_16_BITS: Final = 0xFFFF


class Opcode(IntEnum):
    """The opcodes of RFC 6455 section 5.2; all others are reserved."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """The close codes of the decoder's violations (RFC 6455 section 7.4.1)."""

    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    TOO_BIG = 1009


class Text(msgspec.Struct, frozen=True, gc=False):
    """A whole text message; the payload is valid UTF-8."""

    payload: bytes


class Binary(msgspec.Struct, frozen=True, gc=False):
    """A whole binary message."""

    payload: bytes


class Ping(msgspec.Struct, frozen=True, gc=False):
    """A ping; answer with a pong of the same payload."""

    payload: bytes


class Pong(msgspec.Struct, frozen=True, gc=False):
    """A pong, which may be unsolicited."""

    payload: bytes


class Close(msgspec.Struct, frozen=True, gc=False):
    """The peer's close frame, always the last event; `code` is None when the frame was empty."""

    code: int | None
    reason: str


class Violation(msgspec.Struct, frozen=True, gc=False):
    """The peer broke the protocol or a limit, always the last event: close with `code` (1002, 1007 or 1009)."""

    code: int
    reason: str


Event = Text | Binary | Ping | Pong | Close | Violation


def is_close_code(code: int) -> bool:
    """Whether a close frame may carry this code: RFC 6455 section 7.4, with IANA's 1012-1014."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999  # noqa: PLR2004 - the ranges of the registry


def text_frame(payload: bytes) -> bytes:
    """Encode one unmasked, unfragmented text frame; the payload must be UTF-8."""
    length = len(payload)
    if length < _SHORT:
        return bytes((_FINAL_TEXT, length)) + payload
    if length <= _MAX_16_BITS:
        return b"\x81\x7e" + length.to_bytes(2) + payload
    return b"\x81\x7f" + length.to_bytes(8) + payload


def ping_frame(payload: bytes = b"") -> bytes:
    """Encode one unmasked ping. Raises ValueError for a payload over 125 bytes."""
    return _control_frame(Opcode.PING, payload)


def pong_frame(payload: bytes = b"") -> bytes:
    """Encode one unmasked pong. Raises ValueError for a payload over 125 bytes."""
    return _control_frame(Opcode.PONG, payload)


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """Encode one unmasked close frame.

    The reason is cut to 123 bytes, between characters. Raises ValueError for a code that no close frame may carry.
    """
    if code is None:
        return _control_frame(Opcode.CLOSE, b"")
    if not is_close_code(code):
        raise ValueError(f"a close frame can't carry code {code}")
    cut = reason.encode()[: MAX_CONTROL_BYTES - 2].decode(errors="ignore")
    return _control_frame(Opcode.CLOSE, code.to_bytes(2) + cut.encode())


def _control_frame(opcode: Opcode, payload: bytes) -> bytes:
    if len(payload) > MAX_CONTROL_BYTES:
        raise ValueError(f"a control frame holds at most {MAX_CONTROL_BYTES} bytes, not {len(payload)}")
    return bytes((_FINAL | opcode, len(payload))) + payload
