"""The table of wrong WebSocket inputs, each with the exact answer; test_websocket_bad_input.py runs it."""

import json
from typing import Any

from tests.frames import client_frame, close, text

Json = dict[str, Any]
LIMIT = 16_384
NOT_JSON = "the frame is not JSON, or nested too deeply"
NO_OBJECT = "a frame must hold one JSON object"
NOT_TEXT = "frames must be text"
KNOWN = "type must be one of join, leave, message, ping, refresh, typing"
FIRST = 'the first frame must be {"type": "join", ...}'
TOO_LONG = "x" * 501
ODD = '"\\/\b\f\n\r\t\x1b\x7f</script>'
EMOJI = "\N{GHOST}"


def say(**fields: object) -> bytes:
    """A command in one text frame."""
    return text(json.dumps(fields))


def error(code: str, message: str, *, field: str | None = None, id: int | str | None = None) -> Json:  # noqa: A002 - the wire's name
    """The error event, without what does not apply."""
    data = {"code": code, "message": message, "retryable": False} | ({} if field is None else {"field": field})
    return {"type": "error", "data": data} | ({} if id is None else {"id": id})


def malformed(message: str = NOT_JSON, **fields: Any) -> Json:
    """What is no command at all."""
    return error("malformed", message, **fields)


def unknown(**fields: Any) -> Json:
    """A type that is not known, or none."""
    return error("unknown_command", KNOWN, field="type", **fields)


def invalid(field: str, message: str, **fields: Any) -> Json:
    """A field that is wrong."""
    return error("validation_error", message, field=field, **fields)


def bad_join(message: str, **fields: Any) -> Json:
    """A first frame that is no valid join."""
    return error("bad_join", message, **fields)


def wrong_text(length: int, **fields: Any) -> Json:
    """A text too short or too long."""
    return invalid("text", f"text must have 1 to 500 characters after trimming; this one has {length}", **fields)


# Sent by a member of a session; the connection stays. Name → what is sent, the answer.
ANSWERED: dict[str, tuple[bytes, Json]] = {
    # No JSON, or no object.
    "empty frame": (text(""), malformed()),
    "only spaces": (text("   "), malformed()),
    "a word": (text("hello"), malformed()),
    "cut object": (text('{"type":"ping"'), malformed()),
    "garbage after the object": (text('{"type":"ping"} x'), malformed()),
    "two objects": (text('{"type":"ping"}{"type":"ping"}'), malformed()),
    "single quotes": (text("{'type':'ping'}"), malformed()),
    "keys without quotes": (text('{type:"ping"}'), malformed()),
    "trailing comma": (text('{"type":"ping",}'), malformed()),
    "comment": (text('{"type":"ping"/* hi */}'), malformed()),
    "NaN": (text('{"type":"ping","id":NaN}'), malformed()),
    "number with a leading zero": (text('{"type":"ping","id":01}'), malformed()),
    "line break within a string": (text('{"type":"message","text":"a\nb"}'), malformed()),
    "lone surrogate": (text('{"type":"message","text":"\\ud800","id":5}'), malformed(id=5)),
    "surrogates the wrong way round": (text('{"type":"message","text":"\\udc7b\\ud83d"}'), malformed()),
    "byte order mark": (text('\ufeff{"type":"ping"}'), malformed()),
    "UTF-16": (text('{"type":"ping"}'.encode("utf-16-le")), malformed()),
    "8000 open brackets": (text("[" * 8000), malformed(NO_OBJECT)),
    "2000 levels in an ignored field": (text('{"type":"ping","x":' + "[" * 2000 + "]" * 2000 + "}"), malformed()),
    "array": (text('[{"type":"ping"}]'), malformed(NO_OBJECT)),
    "string": (text('"ping"'), malformed(NO_OBJECT)),
    "number": (text("1"), malformed(NO_OBJECT)),
    "null": (text("null"), malformed(NO_OBJECT)),
    "true": (text("true"), malformed(NO_OBJECT)),
    "binary": (client_frame(2, b'{"type":"ping"}'), malformed(NOT_TEXT)),
    "empty binary": (client_frame(2), malformed(NOT_TEXT)),
    "fragmented binary": (client_frame(2, b"\xff", final=False) + client_frame(0, b"\xfe"), malformed(NOT_TEXT)),
    "16 KiB of nothing": (text(" " * LIMIT), malformed()),
    # An object, but no command.
    "no type": (say(id=1), unknown(id=1)),
    "null as type": (say(type=None), unknown()),
    "number as type": (say(type=7, id="a"), unknown(id="a")),
    "array as type": (say(type=["ping"]), unknown()),
    "empty type": (say(type=""), unknown()),
    "type in capitals": (say(type="PING", id=2), unknown(id=2)),
    "key of type in capitals": (text('{"TYPE":"ping"}'), unknown()),
    "unknown type": (say(type="shout", id=3), unknown(id=3)),
    "unknown type with a bad id": (say(type="shout", id=[3]), unknown()),
    "type of an event": (say(type="message_received"), unknown()),
    "huge type": (say(type="x" * 16_000), unknown()),
    "two types": (text('{"type":"ping","type":"leave","id":4}'), unknown(id=4)),
    # A command with a wrong field.
    "no text": (say(type="message", id=1), invalid("text", "text is required", id=1)),
    "null as text": (say(type="message", id=1, text=None), invalid("text", "text must be a string, not null", id=1)),
    "number as text": (
        say(type="message", id=1, text=5),
        invalid("text", "text must be a string, not a whole number", id=1),
    ),
    "array as text": (say(type="message", text=["a"]), invalid("text", "text must be a string, not an array")),
    "object as text": (say(type="message", text={"a": 1}), invalid("text", "text must be a string, not an object")),
    "bad text before the id": (
        text('{"type":"message","text":5,"id":6}'),
        invalid("text", "text must be a string, not a whole number", id=6),
    ),
    "empty text": (say(type="message", id="a", text=""), wrong_text(0, id="a")),
    "blank text": (say(type="message", text=" \t\n\u3000"), wrong_text(0)),
    "501 characters": (say(type="message", id=2, text=TOO_LONG), wrong_text(501, id=2)),
    "501 emoji": (say(type="message", id=2, text=EMOJI * 501), wrong_text(501, id=2)),
    "16 KiB of text": (say(type="message", text="x" * (LIMIT - 31)), wrong_text(LIMIT - 31)),
    "NUL in a text": (
        say(type="message", id=3, text="a\0b"),
        invalid("text", "text must not contain the character U+0000", id=3),
    ),
    "fraction as id": (
        say(type="ping", id=1.5),
        invalid("id", "id must be a whole number, a string or null, not a number"),
    ),
    "true as id": (
        say(type="ping", id=True),
        invalid("id", "id must be a whole number, a string or null, not true or false"),
    ),
    "array as id": (
        say(type="typing", id=[1]),
        invalid("id", "id must be a whole number, a string or null, not an array"),
    ),
    "object as id": (
        say(type="leave", id={}),
        invalid("id", "id must be a whole number, a string or null, not an object"),
    ),
    "id of 65 characters": (
        say(type="message", id="x" * 65, text="a"),
        invalid("id", "id must have at most 64 characters"),
    ),
    "id over 64 bits": (say(type="ping", id=2**63), invalid("id", "id must be at most 9223372036854775807")),
    "id of 5000 digits": (
        text('{"type":"ping","id":' + "9" * 5000 + "}"),
        invalid("id", "id is out of range"),
    ),
    "id beyond floats": (text('{"type":"ping","id":1e400}'), invalid("id", "id is out of range")),
    "number as key": (
        say(type="message", id=1, text="a", key=5),
        invalid("key", "key must be a string or null, not a whole number", id=1),
    ),
    "empty key": (
        say(type="message", id=1, text="a", key=""),
        invalid("key", "key must have at least 1 character", id=1),
    ),
    "key of 65 characters": (
        say(type="message", id=1, text="a", key="k" * 65),
        invalid("key", "key must have at most 64 characters", id=1),
    ),
    "unknown ack": (
        say(type="message", id=1, text="a", ack="none"),
        invalid("ack", "ack must be accepted or persisted", id=1),
    ),
    "null as ack": (
        say(type="message", id=1, text="a", ack=None),
        invalid("ack", "ack must be accepted or persisted", id=1),
    ),
    # In the wrong order.
    "second join": (say(type="join", id=9, name="Bob"), invalid("type", "already joined", id=9)),
    "second join under the same name": (say(type="join", id=9, name="Ana"), invalid("type", "already joined", id=9)),
    "second join without a name": (say(type="join", id=9), invalid("type", "already joined", id=9)),
}

# Strange but right: taken like any other. Name → what is sent, the answer (of an ack: the text that it stands for).
TAKEN: dict[str, tuple[bytes, Json | str]] = {
    "unknown fields": (say(type="message", text="a", colour={"r": [1, None]}, ts=5), "a"),
    "text twice: the last one counts": (text('{"type":"message","text":"a","text":"b"}'), "b"),
    "id twice: the last one counts": (text('{"type":"ping","id":1,"id":2}'), {"type": "pong", "id": 2, "data": {}}),
    "type twice, the same": (text('{"type":"ping","type":"ping","id":1}'), {"type": "pong", "id": 1, "data": {}}),
    "type last and escaped": (text('{"id":0,"type":"pi\\u006eg"}'), {"type": "pong", "id": 0, "data": {}}),
    "ping without an id": (say(type="ping"), {"type": "pong", "data": {}}),
    "id of 64 characters": (say(type="ping", id=EMOJI * 64), {"type": "pong", "id": EMOJI * 64, "data": {}}),
    "smallest id": (say(type="ping", id=-(2**63)), {"type": "pong", "id": -(2**63), "data": {}}),
    "nulls for what is optional": (say(type="message", text="a", id=None, key=None), "a"),
    "500 emoji and blanks around": (say(type="message", text=f" {EMOJI * 500}\n"), EMOJI * 500),
    "escapes, quotes and control characters": (
        say(type="message", text='"\\/\b\f\n\r\t\x1b\x7f</script>'),
        '"\\/\b\f\n\r\t\x1b\x7f</script>',
    ),
    "line separators and directions": (say(type="message", text="a\u2028\u202e\ufeff"), "a\u2028\u202e\ufeff"),
    "what looks like a reply": (say(type="message", text='{"type":"session_closed"}'), '{"type":"session_closed"}'),
    "a message in fragments, cut within a character": (
        b"".join(
            client_frame(0 if i else 1, part, final=last)
            for i, (part, last) in enumerate(
                ((b'{"type":"message","text":"\xf0\x9f', False), (b"\x91", False), (b'\xbb"}', True))
            )
        ),
        EMOJI,
    ),
}

# Sent by a member; the frame itself is wrong, so nothing but a close comes back. Name → what is sent, code, reason.
BROKEN: dict[str, tuple[bytes, int, str]] = {
    "invalid UTF-8": (text(b'{"type":"message","text":"\xff"}'), 1007, "invalid UTF-8"),
    "surrogate in UTF-8": (text(b'{"type":"message","text":"\xed\xa0\x80"}'), 1007, "invalid UTF-8"),
    "cut character": (text(b'{"type":"ping"}\xf0\x9f'), 1007, "invalid UTF-8"),
    "invalid UTF-8 in the second fragment": (
        client_frame(1, b'{"type":', final=False) + client_frame(0, b"\xc0"),
        1007,
        "invalid UTF-8",
    ),
    "one byte over 16 KiB": (text(" " * (LIMIT + 1)), 1009, "message over 16384 bytes"),
    "binary over 16 KiB": (client_frame(2, b" " * (LIMIT + 1)), 1009, "message over 16384 bytes"),
    "1 GiB announced": (client_frame(1, length=1 << 30), 1009, "message over 16384 bytes"),
    "fragments over 16 KiB": (
        client_frame(1, b" " * LIMIT, final=False) + client_frame(0, b" "),
        1009,
        "message over 16384 bytes",
    ),
    "frame without a mask": (client_frame(1, b'{"type":"ping"}', mask=None), 1002, "frame is not masked"),
    "compressed frame": (client_frame(1, b'{"type":"ping"}', reserved=4), 1002, "reserved bits are set"),
    "reserved opcode": (client_frame(3, b"a"), 1002, "reserved opcode"),
    "reserved control opcode": (client_frame(11, b"a"), 1002, "reserved opcode"),
    "fragmented ping": (client_frame(9, b"a", final=False), 1002, "fragmented control frame"),
    "ping of 126 bytes": (client_frame(9, b"x" * 126), 1002, "control frame over 125 bytes"),
    "continuation of nothing": (client_frame(0, b"a"), 1002, "nothing to continue"),
    "message within a message": (
        client_frame(1, b"{", final=False) + text("{}"),
        1002,
        "expected a continuation",
    ),
    "long form of a short length": (client_frame(1, b"{}", form="16"), 1002, "length is not in its shortest form"),
    "length of 64 bits": (client_frame(1, length=1 << 63), 1002, "length over 63 bits"),
    "close of one byte": (client_frame(8, b"\x03"), 1002, "invalid close code"),
    "close with 1005": (close(1005), 1002, "invalid close code"),
    "close with a bad reason": (close(1000, b"\xff"), 1007, "invalid UTF-8"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 1002, "reserved bits are set"),
}

NAME_LENGTH = "name must have 1 to 50 characters after trimming; this one has {}"

# The first frame of a connection; the close 4500 follows. Name → what is sent, the answer before the close.
BAD_FIRST: dict[str, tuple[bytes, Json]] = {
    "not JSON": (text("hello"), bad_join(NOT_JSON)),
    "empty frame": (text(""), bad_join(NOT_JSON)),
    "array": (text('["join"]'), bad_join(NO_OBJECT)),
    "binary": (client_frame(2, b'{"type":"join","name":"Eve"}'), bad_join(NOT_TEXT)),
    "no type": (say(name="Eve"), bad_join(KNOWN, field="type")),
    "unknown type": (say(type="hello", id=1), bad_join(KNOWN, field="type", id=1)),
    "message first": (say(type="message", id=1, text="hi"), bad_join(FIRST, id=1)),
    "invalid message first": (say(type="message", id=1), bad_join("text is required", field="text", id=1)),
    "typing first": (say(type="typing"), bad_join(FIRST)),
    "ping first": (say(type="ping", id="p"), bad_join(FIRST, id="p")),
    "leave first": (say(type="leave"), bad_join(FIRST)),
    "neither name nor token": (
        say(type="join", id=1),
        bad_join("join needs a name, or the token of a welcome", field="name", id=1),
    ),
    "null as name": (
        say(type="join", name=None),
        bad_join("join needs a name, or the token of a welcome", field="name"),
    ),
    "number as name": (
        say(type="join", id=1, name=5),
        bad_join("name must be a string or null, not a whole number", field="name", id=1),
    ),
    "array as name": (
        say(type="join", name=["Eve"]),
        bad_join("name must be a string or null, not an array", field="name"),
    ),
    "empty name": (say(type="join", id="j", name=""), bad_join(NAME_LENGTH.format(0), field="name", id="j")),
    "blank name": (say(type="join", name=" \t\u3000"), bad_join(NAME_LENGTH.format(0), field="name")),
    "name of 51 characters": (say(type="join", name="x" * 51), bad_join(NAME_LENGTH.format(51), field="name")),
    "name of 51 emoji": (say(type="join", name=EMOJI * 51), bad_join(NAME_LENGTH.format(51), field="name")),
    "NUL in a name": (
        say(type="join", name="E\0ve"),
        bad_join("name must not contain U+0000, which is a control character: remove it", field="name"),
    ),
    "line break in a name": (
        say(type="join", name="E\nve"),
        bad_join("name must not contain U+000A, which is a control character: remove it", field="name"),
    ),
    "invisible name": (
        say(type="join", name="\u3164"),
        bad_join("name must not contain U+3164 (HANGUL FILLER), which is invisible: remove it", field="name"),
    ),
    "name of servers": (
        say(type="join", id=1, name="\N{CYRILLIC CAPITAL LETTER DZE}erver"),
        bad_join("name is reserved for servers: choose another name", field="name", id=1),
    ),
    "bad id": (
        say(type="join", id=1.5, name="Eve"),
        bad_join("id must be a whole number, a string or null, not a number", field="id"),
    ),
    "number as token": (
        say(type="join", name="Eve", token=5),
        bad_join("token must be a string or null, not a whole number", field="token"),
    ),
    "token of 4097 characters": (
        say(type="join", name="Eve", token="x" * 4097),
        bad_join("token must have at most 4096 characters", field="token"),
    ),
    "number as password": (
        say(type="join", name="Eve", password=12345678),
        bad_join("password must be a string or null, not a whole number", field="password"),
    ),
    "password of 129 characters": (
        say(type="join", name="Eve", password="x" * 129),
        bad_join("password must have at most 128 characters", field="password"),
    ),
    "string as resume": (
        say(type="join", name="Eve", resume="k3v9"),
        bad_join("resume must be an object or null, not a string", field="resume"),
    ),
    "resume without seq": (
        say(type="join", name="Eve", resume={"epoch": "k3v9"}),
        bad_join("resume.seq is required", field="resume.seq"),
    ),
    "string as resume.seq": (
        say(type="join", id=2, name="Eve", resume={"epoch": "k3v9", "seq": "41"}),
        bad_join("resume.seq must be a whole number, not a string", field="resume.seq", id=2),
    ),
    "number as resume.epoch": (
        say(type="join", name="Eve", resume={"epoch": 5, "seq": 41}),
        bad_join("resume.epoch must be a string, not a whole number", field="resume.epoch"),
    ),
}
