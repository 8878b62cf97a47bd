"""Streams of client frames, right and wrong, and what the codec and the `websockets` package see in them."""

from collections.abc import Iterable
from itertools import pairwise

import msgspec
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.exceptions import ProtocolError as OracleProtocolError
from websockets.frames import Frame
from websockets.frames import Opcode as OracleOpcode
from websockets.protocol import SERVER, Protocol

from gateway.protocol.decoder import Decoder
from gateway.protocol.frames import Binary, Close, Event, Ping, Pong, Text, Violation
from tests.frames import client_frame, close

LIMIT = 1000


def decode(data: bytes, limit: int = LIMIT) -> list[Event]:
    return Decoder(limit).feed(data)[0]


def decode_split(chunks: Iterable[bytes], limit: int = LIMIT) -> list[Event]:
    decoder = Decoder(limit)
    return [event for chunk in chunks for event in decoder.feed(chunk)[0]]


def bytewise(data: bytes) -> Iterable[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def to_wire(opcode: int, payload: bytes, cuts: list[int], mask: bytes) -> list[bytes]:
    """A message as frames, cut at the given places."""
    bounds = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
    last = len(bounds) - 2
    return [
        client_frame(0 if i else opcode, payload[bounds[i] : bounds[i + 1]], final=i == last, mask=mask)
        for i in range(last + 1)
    ]


masks = st.binary(min_size=4, max_size=4)
controls = st.builds(client_frame, st.sampled_from([9, 10]), st.binary(max_size=125), mask=masks)
texts = st.text(max_size=300).map(str.encode)


@st.composite
def messages(draw: st.DrawFn) -> list[bytes]:
    """The frames of one message, control frames strewn in."""
    opcode, payload = draw(
        st.one_of(st.tuples(st.just(1), texts), st.tuples(st.just(2), st.binary(max_size=LIMIT + 100)))
    )
    frames = to_wire(opcode, payload, draw(st.lists(st.integers(0, LIMIT), max_size=3)), draw(masks))
    return [part for frame in frames for part in (*draw(st.lists(controls, max_size=1)), frame)]


wrong = st.builds(
    client_frame,
    st.integers(0, 15),
    st.binary(max_size=130),
    final=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 4]),
    mask=st.one_of(masks, st.none()),
)
closes = st.builds(close, st.one_of(st.none(), st.integers(0, 5100)), st.text(max_size=20).map(str.encode))
streams = st.builds(
    lambda parts, last: b"".join(frame for part in parts for frame in part) + last,
    st.lists(messages(), max_size=4),
    st.one_of(st.just(b""), closes, wrong),
)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def oracle(data: bytes) -> list[Event]:
    """What the `websockets` package's protocol makes of the same bytes."""
    protocol = Protocol(SERVER, max_size=LIMIT)
    protocol.receive_data(data)
    events: list[Event] = []
    message: list[Frame] = []
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        payload = bytes(frame.data)
        if frame.opcode is OracleOpcode.PING:
            events.append(Ping(payload))
        elif frame.opcode is OracleOpcode.PONG:
            events.append(Pong(payload))
        elif frame.opcode is OracleOpcode.CLOSE:
            events.append(Close(int.from_bytes(payload[:2]) if payload else None, payload[2:].decode()))
        else:
            message.append(frame)
            if frame.fin:
                body = b"".join(bytes(part.data) for part in message)
                events.append(Text(body) if message[0].opcode is OracleOpcode.TEXT else Binary(body))
                message = []
    match protocol.parser_exc:
        case PayloadTooBig():
            events.append(Violation(1009, ""))
        case OracleProtocolError():
            events.append(Violation(1002, ""))
        case UnicodeDecodeError():
            events.append(Violation(1007, ""))
        case None | EOFError():
            pass
        case other:
            raise other
    return events


def without_reason(events: list[Event]) -> list[Event]:
    return [msgspec.structs.replace(event, reason="") if isinstance(event, Violation) else event for event in events]
