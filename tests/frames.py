"""The client's half of RFC 6455 for tests: masked frames, right or wrong on purpose; a reader of server frames."""

from collections.abc import Iterator
from typing import Literal

from websockets.speedups import apply_mask

MASK = b"\x37\xfa\x21\x3d"
LengthForm = Literal["shortest", "16", "64"]


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    form: LengthForm = "shortest",
    length: int | None = None,
) -> bytes:
    """One frame as a client sends it; `reserved` is RSV1-3 as 4, 2, 1; `length` replaces the payload's in the head."""
    first = (0x80 if final else 0) | reserved << 4 | opcode
    announced = len(payload) if length is None else length
    masked = 0 if mask is None else 0x80
    if form == "64" or announced > 0xFFFF:
        head = bytes((first, masked | 127)) + announced.to_bytes(8)
    elif form == "16" or announced > 125:
        head = bytes((first, masked | 126)) + announced.to_bytes(2)
    else:
        head = bytes((first, masked | announced))
    return head + (payload if mask is None else mask + apply_mask(payload, mask))


def text(payload: str | bytes) -> bytes:
    """One whole masked text frame."""
    return client_frame(1, payload.encode() if isinstance(payload, str) else payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """One masked close frame."""
    return client_frame(8, b"" if code is None else code.to_bytes(2) + reason)


def server_frames(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The whole unmasked frames that stand first, as (opcode, payload, end of the frame in `data`)."""
    start = 0
    while len(data) - start >= 2:
        first, length = data[start], data[start + 1]
        assert first & 0xF0 == 0x80, "server frames are final and have no reserved bits"
        assert length < 0x80, "server frames are not masked"
        body = start + {126: 4, 127: 10}.get(length, 2)
        if len(data) < body:
            return
        if length > 125:
            length = int.from_bytes(data[start + 2 : body])
        if len(data) < body + length:
            return
        start = body + length
        yield first & 0x0F, data[body:start], start
