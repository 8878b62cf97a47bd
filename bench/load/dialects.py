"""The protocol of each server: how a socket joins its room, and how a message is published."""

import json
from collections.abc import Callable, Mapping

import msgspec

from bench.load import frames

UPGRADED = b"\r\n\r\n"


class Seat(msgspec.Struct, frozen=True):
    """One socket to open: address, room and user. `source` is the local address."""

    port: int
    room: str
    name: str
    host: str = "127.0.0.1"
    source: str = "127.0.0.1"
    is_publisher: bool = False
    # Whether the deliveries of this socket count for the latency.
    is_timed: bool = False


class Step(msgspec.Struct, frozen=True):
    """Bytes to send, and the answer that must come before the next step."""

    send: bytes
    expect: bytes


class Dialect(msgspec.Struct, frozen=True):
    """One server's protocol. `publish` takes the seat, the message's number and its text, and returns frames."""

    path: Callable[[Seat], str]
    steps: Callable[[Seat], list[Step]]
    publish: Callable[[Seat, int, str], bytes]


def event(seat: Seat, number: int, text: str) -> bytes:
    """The event that a publisher of whole events sends: as many bytes as an event of the product has."""
    data = {
        "id": f"9c9b1c52-3f5a-4f0f-8b6e-{number:012}",
        "session_id": seat.room.ljust(36, "0")[:36],
        "user_id": "0b0c8d0e-8a54-4b0c-9d37-4f1df7cd5b11",
        "user_name": seat.name,
        "text": text,
        "timestamp": "2026-11-22T21:05:00.123Z",
        "is_spirit": False,
    }
    whole = {"type": "message_received", "seq": number, "ts": "2026-11-22T21:05:00.123Z", "data": data}
    return json.dumps(whole, separators=(",", ":")).encode()


def _object(**fields: object) -> bytes:
    return frames.text(json.dumps(fields, separators=(",", ":")).encode())


def _socketio_event(*parts: str) -> bytes:
    return frames.text(b"42" + json.dumps(parts, separators=(",", ":")).encode())


def _nats_publish(seat: Seat, number: int, text: str) -> bytes:
    payload = event(seat, number, text)
    return frames.binary(b"PUB %b %d\r\n%b\r\n" % (seat.room.encode(), len(payload), payload))


_SESSION = Dialect(
    path=lambda seat: f"/ws/{seat.room}",
    steps=lambda seat: [Step(_object(type="join", name=seat.name), b'"type":"welcome"')],
    publish=lambda _, number, text: _object(type="message", id=number, text=text),
)
_SOCKET_IO = Dialect(
    path=lambda _: "/socket.io/?EIO=4&transport=websocket",
    steps=lambda seat: [
        Step(b"", b'0{"sid"'),
        Step(frames.text(b"40"), b'40{"sid"'),
        Step(_socketio_event("join", seat.room, seat.name), b'"joined"'),
    ],
    publish=lambda _, __, text: _socketio_event("message", text),
)
DIALECTS: Mapping[str, Dialect] = {
    "seance": _SESSION,
    "textbook": _SESSION,
    "socket.io": _SOCKET_IO,
    "python-socketio": _SOCKET_IO,
    "bare": Dialect(
        path=lambda _: "/",
        steps=lambda _: [],
        publish=lambda seat, number, text: frames.text(event(seat, number, text)),
    ),
    "nats": Dialect(
        path=lambda _: "/",
        steps=lambda seat: [
            Step(
                frames.binary(
                    b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %b 1\r\nPING\r\n' % seat.room.encode()
                ),
                b"PONG",
            )
        ],
        publish=_nats_publish,
    ),
    "centrifugo": Dialect(
        path=lambda _: "/connection/websocket",
        steps=lambda seat: [
            Step(_object(id=1, connect={}), b'"connect":'),
            Step(_object(id=2, subscribe={"channel": seat.room}), b'"subscribe":'),
        ],
        publish=lambda seat, number, text: frames.text(
            b'{"id":%d,"publish":{"channel":"%b","data":%b}}'
            % (number + 3, seat.room.encode(), event(seat, number, text))
        ),
    ),
}
