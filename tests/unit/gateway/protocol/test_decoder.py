"""Every rule of the RFC 6455 decoder, by table and by property."""

import sys
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.decoder import Decoder
from gateway.protocol.frames import Binary, Close, Event, Ping, Pong, Text, Violation
from tests.frame_streams import (
    LIMIT,
    bytewise,
    closes,
    decode,
    decode_split,
    masks,
    messages,
    oracle,
    split,
    streams,
    without_reason,
)
from tests.frames import client_frame, close, text

GREEK = "κόσμε".encode()


ACCEPTED: dict[str, tuple[bytes, list[Event]]] = {
    "short text": (text("hi"), [Text(b"hi")]),
    "empty text": (text(""), [Text(b"")]),
    "text of 125 bytes": (text("x" * 125), [Text(b"x" * 125)]),
    "text of 126 bytes": (text("x" * 126), [Text(b"x" * 126)]),
    "text of exactly the limit": (text("x" * LIMIT), [Text(b"x" * LIMIT)]),
    "text beyond ASCII": (text(GREEK), [Text(GREEK)]),
    "text with the highest code point": (text("\U0010ffff"), [Text(b"\xf4\x8f\xbf\xbf")]),
    "text with a noncharacter": (text("\ufffe\uffff"), [Text(b"\xef\xbf\xbe\xef\xbf\xbf")]),
    "text with NUL": (text("\0"), [Text(b"\0")]),
    "text masked with zeros": (client_frame(1, b"hi", mask=b"\0\0\0\0"), [Text(b"hi")]),
    "several texts in one read": (text("a") + text("b" * 200) + text("c"), [Text(b"a"), Text(b"b" * 200), Text(b"c")]),
    "binary": (client_frame(2, b"\xff\x00"), [Binary(b"\xff\x00")]),
    "ping": (client_frame(9, b"now"), [Ping(b"now")]),
    "empty ping": (client_frame(9), [Ping(b"")]),
    "ping of 125 bytes": (client_frame(9, b"x" * 125), [Ping(b"x" * 125)]),
    "pong": (client_frame(10, b"now"), [Pong(b"now")]),
    "fragmented text": (
        client_frame(1, b"a", final=False) + client_frame(0, b"b", final=False) + client_frame(0, b"c"),
        [Text(b"abc")],
    ),
    "fragments without payload": (
        client_frame(1, final=False) + client_frame(0, final=False) + client_frame(0),
        [Text(b"")],
    ),
    "fragmented binary": (client_frame(2, b"\xce", final=False) + client_frame(0, b"\xba"), [Binary(b"\xce\xba")]),
    "a character over two fragments": (
        client_frame(1, GREEK[:1], final=False) + client_frame(0, GREEK[1:]),
        [Text(GREEK)],
    ),
    "ping between fragments": (
        client_frame(1, b"a", final=False) + client_frame(9, b"p") + client_frame(0, b"b"),
        [Ping(b"p"), Text(b"ab")],
    ),
    "fragments of exactly the limit": (
        client_frame(1, b"x" * (LIMIT - 1), final=False) + client_frame(0, b"y"),
        [Text(b"x" * (LIMIT - 1) + b"y")],
    ),
    "a message after a fragmented one": (
        client_frame(1, b"a", final=False) + client_frame(0, b"b") + text("c"),
        [Text(b"ab"), Text(b"c")],
    ),
    "empty close": (close(), [Close(None, "")]),
    "close with a code": (close(1000), [Close(1000, "")]),
    "close with a reason": (close(3000, GREEK), [Close(3000, "κόσμε")]),
    "close between fragments": (client_frame(1, b"a", final=False) + close(1001), [Close(1001, "")]),
    "nothing after a close": (close(1000) + text("late"), [Close(1000, "")]),
}

REFUSED: dict[str, tuple[bytes, int, str]] = {
    "unmasked text": (client_frame(1, b"hi there", mask=None), 1002, "frame is not masked"),
    "unmasked ping": (client_frame(9, b"hi", mask=None), 1002, "frame is not masked"),
    "unmasked text of 200 bytes": (client_frame(1, b"x" * 200, mask=None), 1002, "frame is not masked"),
    **{
        f"reserved bits {bits}": (client_frame(1, b"hi", reserved=bits), 1002, "reserved bits are set")
        for bits in range(1, 8)
    },
    **{
        f"reserved opcode {opcode}": (client_frame(opcode, b"hi"), 1002, "reserved opcode")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "fragmented ping": (client_frame(9, b"hi", final=False), 1002, "fragmented control frame"),
    "fragmented close": (client_frame(8, final=False), 1002, "fragmented control frame"),
    "ping of 126 bytes": (client_frame(9, b"x" * 126), 1002, "control frame over 125 bytes"),
    "pong announcing 64 bits": (client_frame(10, b"x", form="64"), 1002, "control frame over 125 bytes"),
    "close of 126 bytes": (client_frame(8, b"x" * 126), 1002, "control frame over 125 bytes"),
    "continuation of nothing": (client_frame(0, b"hi"), 1002, "nothing to continue"),
    "text within a message": (client_frame(1, b"a", final=False) + text("b"), 1002, "expected a continuation"),
    "binary within a message": (
        client_frame(2, b"a", final=False) + client_frame(2, b"b"),
        1002,
        "expected a continuation",
    ),
    "125 bytes in 16 bits": (client_frame(1, b"x" * 125, form="16"), 1002, "length is not in its shortest form"),
    "0 bytes in 16 bits": (client_frame(1, form="16"), 1002, "length is not in its shortest form"),
    "200 bytes in 64 bits": (client_frame(1, b"x" * 200, form="64"), 1002, "length is not in its shortest form"),
    "65535 bytes in 64 bits": (
        client_frame(1, b"x", form="64", length=0xFFFF),
        1002,
        "length is not in its shortest form",
    ),
    "the high bit of 64": (client_frame(1, b"x", length=1 << 63), 1002, "length over 63 bits"),
    "all 64 bits": (client_frame(1, b"x", length=(1 << 64) - 1), 1002, "length over 63 bits"),
    "one byte over the limit": (text("x" * (LIMIT + 1)), 1009, "message over 1000 bytes"),
    "16 bits announced": (client_frame(1, length=LIMIT + 1), 1009, "message over 1000 bytes"),
    "64 bits announced": (client_frame(2, length=0x10000), 1009, "message over 1000 bytes"),
    "63 bits announced": (client_frame(1, length=(1 << 63) - 1), 1009, "message over 1000 bytes"),
    "fragments over the limit": (
        client_frame(2, b"x" * LIMIT, final=False) + client_frame(0, length=1),
        1009,
        "message over 1000 bytes",
    ),
    "invalid start byte": (text(b"ok\xff" + b"x" * 20), 1007, "invalid UTF-8"),
    "surrogate": (text(b"\xed\xa0\x80"), 1007, "invalid UTF-8"),
    "overlong": (text(b"\xc0\xaf"), 1007, "invalid UTF-8"),
    "overlong NUL": (text(b"\xc0\x80"), 1007, "invalid UTF-8"),
    "above the last code point": (text(b"\xf4\x90\x80\x80"), 1007, "invalid UTF-8"),
    "cut character": (text(GREEK[:-1]), 1007, "invalid UTF-8"),
    "lone continuation byte": (text(b"\x80"), 1007, "invalid UTF-8"),
    "cut character in the last fragment": (
        client_frame(1, GREEK, final=False) + client_frame(0, GREEK[:1]),
        1007,
        "invalid UTF-8",
    ),
    "bad byte in a first fragment": (client_frame(1, b"\xff", final=False), 1007, "invalid UTF-8"),
    "bad byte before the payload's end": (client_frame(1, b"a\xf4\x90", length=900), 1007, "invalid UTF-8"),
    "bad second byte in the next fragment": (
        client_frame(1, b"\xf4", final=False) + client_frame(0, b"\x90", final=False),
        1007,
        "invalid UTF-8",
    ),
    "close of one byte": (client_frame(8, b"\x03"), 1002, "invalid close code"),
    "close with a cut reason": (close(1000, GREEK[:-1]), 1007, "invalid UTF-8"),
    **{
        f"close code {code}": (close(code), 1002, "invalid close code")
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}


@pytest.mark.parametrize(("data", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_valid_frames_give_their_events(data: bytes, expected: list[Event]) -> None:
    """Valid frames of RFC 6455 give the same events in one read and byte by byte."""
    assert decode(data) == expected
    assert decode_split(bytewise(data)) == expected


@pytest.mark.parametrize(("data", "code", "reason"), REFUSED.values(), ids=REFUSED)
def test_invalid_frames_give_one_violation(data: bytes, code: int, reason: str) -> None:
    """An invalid or too large frame gives one violation, after the events before it, and no event follows."""
    around = text("before") + data + text("after")
    expected = [Text(b"before"), Violation(code, reason)]

    assert decode(data + text("after")) == [Violation(code, reason)]
    assert decode(around) == expected
    assert decode_split(bytewise(around)) == expected


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999])
def test_valid_close_codes_are_accepted(code: int) -> None:
    """Registered, library and private close codes are accepted."""
    assert decode(close(code)) == [Close(code, "")]


def test_a_violation_is_reported_at_its_first_byte() -> None:
    """A rule is applied at the first byte that breaks it, also within text; no further byte is needed."""
    assert decode(b"\xf1") == [Violation(1002, "reserved bits are set")]
    assert decode(b"\x81\x02") == [Violation(1002, "frame is not masked")]
    assert decode(b"\x89\xfe") == [Violation(1002, "control frame over 125 bytes")]
    assert decode(client_frame(1, length=LIMIT + 1)) == [Violation(1009, "message over 1000 bytes")]
    decoder = Decoder(LIMIT)
    frame = client_frame(1, GREEK + b"\xf4\x90\x80\x80edited")
    assert decoder.feed(frame[: 6 + len(GREEK) + 1]) == ([], 0, 6 + len(GREEK) + 1)
    assert decoder.feed(frame[6 + len(GREEK) + 1 :][:1])[0] == [Violation(1007, "invalid UTF-8")]


def test_a_complete_message_can_not_be_continued() -> None:
    """A continuation frame after a complete message is a violation."""
    data = client_frame(1, b"a", final=False) + client_frame(0, b"b") + client_frame(0, b"c")
    assert decode(data) == [Text(b"ab"), Violation(1002, "nothing to continue")]


def test_input_after_the_end_is_ignored() -> None:
    """After a close or a violation the decoder ignores all input."""
    for last in (close(1000), client_frame(3)):
        decoder = Decoder(LIMIT)
        assert len(decoder.feed(last)[0]) == 1
        assert decoder.feed(text("late")) == ([], 0, len(text("late")))


def test_the_limit_is_for_one_message() -> None:
    """The limit starts again with each message, and control frames do not count."""
    half = client_frame(1, b"x" * (LIMIT // 2), final=False)
    whole = half + client_frame(9, b"p" * 125) + client_frame(0, b"y" * (LIMIT // 2))
    sizes = [len(event.payload) for event in decode(whole + whole) if isinstance(event, Text)]
    assert sizes == [LIMIT, LIMIT]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_type_can_be_fed(kind: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    """Bytes, bytearrays and memoryviews can be fed, and the events hold copies."""
    data = bytearray(text("hello") + client_frame(1, GREEK, final=False) + client_frame(0, GREEK))
    buffer = kind(data)
    decoder = Decoder(LIMIT)
    events, _, _ = decoder.feed(buffer)
    if not isinstance(buffer, bytes):
        buffer[:] = b"\0" * len(data)
    assert events == [Text(b"hello"), Text(GREEK + GREEK)]
    assert {type(event.payload) for event in events if isinstance(event, Text)} == {bytes}


def test_idle_decoder_is_small() -> None:
    """Between messages a decoder holds no buffer: less than 200 bytes in all, whatever it has decoded before."""
    decoder = Decoder(16_384)
    frame = text("x" * 10_000)
    decoder.feed(frame[:5000])
    decoder.feed(frame[5000:] + client_frame(2, b"a", final=False) + client_frame(0, b"b") + client_frame(9, b"p"))
    held = [getattr(decoder, slot) for slot in Decoder.__slots__]
    assert sys.getsizeof(decoder) + sum(sys.getsizeof(value) for value in held) < 200
    assert not hasattr(decoder, "__dict__")


@settings(max_examples=300, deadline=None)
@given(streams, st.lists(st.integers(0, 5000), max_size=12))
def test_any_split_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    """Any split of the stream gives the same events."""
    whole = decode(data)
    assert decode_split(split(data, cuts)) == whole
    assert decode_split(bytewise(data)) == whole


@settings(max_examples=300, deadline=None)
@given(st.lists(messages(), max_size=4), st.one_of(st.just(b""), closes))
def test_agrees_with_websockets(parts: list[list[bytes]], last: bytes) -> None:
    """Random sequences of frames, some over the limit, give the same events as the `websockets` package."""
    data = b"".join(frame for part in parts for frame in part) + last
    assert without_reason(decode(data)) == oracle(data)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 15), st.binary(max_size=130), st.booleans(), st.integers(0, 7), st.one_of(masks, st.none()))
def test_judges_one_frame_like_websockets(
    opcode: int, payload: bytes, final: bool, reserved: int, mask: bytes | None
) -> None:
    """A frame with any fault is judged as by the `websockets` package, which leaves UTF-8 in texts to its caller."""
    frame = client_frame(opcode, payload, final=final, reserved=reserved, mask=mask)
    ours, theirs = without_reason(decode(frame)), oracle(frame)
    if ours == [Violation(1007, "")]:
        assert opcode in {1, 8}
    elif theirs == [Violation(1007, "")]:
        assert ours == [Violation(1002, "")], "a close frame with bad code and bad reason"
    else:
        assert ours == theirs


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_random_bytes_never_raise(data: bytes, cuts: list[int]) -> None:
    """Random bytes never raise, and a close or violation is the last event."""
    events = decode_split(split(data, cuts))
    assert events == decode(data)
    assert not any(isinstance(event, Close | Violation) for event in events[:-1])
    assert all(event.code in {1002, 1007, 1009} for event in events if isinstance(event, Violation))


@given(streams, st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_a_few_frames_at_a_time_give_the_same_events(data: bytes, steps: list[int]) -> None:
    """Decoding stops after any number of frames, and goes on with the bytes that are left."""
    decoder = Decoder(LIMIT)
    events: list[Event] = []
    left = data
    for most_frames in cycle((*steps, 1)):
        if not left:
            break
        more, frames, taken = decoder.feed(left, most_frames)
        assert frames <= most_frames
        assert len(more) <= most_frames + 1
        events += more
        left = left[taken:]
    assert events == decode(data)
