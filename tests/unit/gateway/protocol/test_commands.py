"""The client's commands: how each is decoded, and the exact error of each invalid one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.names.validator import normalized_user
from gateway.protocol.commands import (
    Command,
    CommandError,
    CommandId,
    Join,
    Leave,
    Message,
    Ping,
    Resume,
    Typing,
    decode,
)

TYPES = "type must be one of join, leave, message, ping, refresh, typing"


def encoded(**fields: Any) -> bytes:
    """A command as JSON bytes."""
    return json.dumps(fields).encode()


def wrong(payload: bytes) -> tuple[str, str, str | None, CommandId]:
    """Code, message, field and id of the error."""
    with pytest.raises(CommandError) as caught:
        decode(payload)
    assert str(caught.value) == caught.value.message
    return caught.value.code, caught.value.message, caught.value.field, caught.value.command_id


@pytest.mark.parametrize(
    ("payload", "command"),
    [
        (encoded(type="join", name="Ana"), Join(name="Ana")),
        (encoded(type="join", name=" \t Ana \n"), Join(name="Ana")),
        (encoded(type="join", token="t"), Join(token="t")),
        (encoded(type="join", name=None, token=None, password=None, resume=None, id=None), Join()),
        (encoded(type="join", id=1, name="A", password="p" * 128), Join(id=1, name="A", password="p" * 128)),
        (encoded(type="join", name="A", resume={"epoch": "e", "seq": 41}), Join(name="A", resume=Resume("e", 41))),
        (encoded(type="join", name="A", resume={"epoch": "", "seq": -1}), Join(name="A", resume=Resume("", -1))),
        (encoded(type="join", name="\N{GHOST}" * 50), Join(name="\N{GHOST}" * 50)),
        (
            encoded(type="join", name="A\N{COMBINING DIAERESIS}  B"),
            Join(name="\N{LATIN CAPITAL LETTER A WITH DIAERESIS} B"),
        ),
        (encoded(type="message", text="hi"), Message("hi")),
        (encoded(type="message", text="  hi  there "), Message("hi  there")),
        (encoded(type="message", text="\N{GHOST}" * 500), Message("\N{GHOST}" * 500)),
        (encoded(type="message", text=" " * 600 + "x"), Message("x")),
        (encoded(type="message", text="a\nb\tc"), Message("a\nb\tc")),
        (encoded(type="message", text="x", id="i" * 64, key="k" * 64), Message("x", "i" * 64, "k" * 64)),
        (encoded(type="message", text="x", ack="persisted"), Message("x", ack="persisted")),
        (encoded(type="message", text="x", ack="accepted", key=None), Message("x")),
        (encoded(type="typing"), Typing()),
        (encoded(type="typing", id=3), Typing(3)),
        (encoded(type="ping", id=2**63 - 1), Ping(2**63 - 1)),
        (encoded(type="ping", id=-(2**63)), Ping(-(2**63))),
        (encoded(type="ping", id=""), Ping("")),
        (encoded(type="leave", whatever={"more": [1, 2]}), Leave()),
        (b' {"text":"x" , "type":"message"} ', Message("x")),
        (b'{"type":"message","text":"\\ud83d\\udc7b"}', Message("\N{GHOST}")),
    ],
)
def test_a_valid_command_is_decoded_and_trimmed(payload: bytes, command: Command) -> None:
    """Commands are trimmed and bounded; unknown fields are ignored."""
    assert decode(payload) == command


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"hi",
        b"{",
        b'{"type":"ping"',
        b'{"type":"ping"} {}',
        b'{"type":"ping",}',
        b"{'type':'ping'}",
        b'{"type":"message","text":"\xff"}',
        b'{"type":"message","text":"\\ud800"}',
        b'\xef\xbb\xbf{"type":"ping"}',
        b'{"type":"ping","more":' + b"[" * 50_000,
        b'{"type":"ping","id":NaN}',
        b'{"type":"message","text":"a\nb"}',
    ],
)
def test_a_payload_that_is_no_json_is_malformed(payload: bytes) -> None:
    """A payload that is not JSON, not UTF-8 or nested too deeply is malformed, and its error has no id."""
    assert wrong(payload) == ("malformed", "the frame is not JSON, or nested too deeply", None, None)


@pytest.mark.parametrize(
    ("payload", "command_id"),
    [
        (b'{"type":"message","id":5,"text":"\\ud800"}', 5),
        (b'{"type":"message","text":"\\udc7b\\ud83d","id":"m-1"}', "m-1"),
        (b'{"type":"message","id":"\\ud800","text":"a"}', None),
        (b'{"type":"message","text":"\\ud800","id":[5]}', None),
        (b'{"type":"ping","id":7,"more":NaN}', 7),
    ],
)
def test_half_of_a_character_does_not_lose_the_id(payload: bytes, command_id: object) -> None:
    """What only a lenient parser reads is malformed, but the client that waits for its id gets the error under it."""
    assert wrong(payload) == ("malformed", "the frame is not JSON, or nested too deeply", None, command_id)


@pytest.mark.parametrize("payload", [b"[]", b"null", b"7", b'"join"', b"true", b'[{"type":"ping"}]', b"[" * 50_000])
def test_json_that_is_no_object_is_malformed(payload: bytes) -> None:
    """JSON that is no object is malformed."""
    assert wrong(payload) == ("malformed", "a frame must hold one JSON object", None, None)


@pytest.mark.parametrize(
    "kind", ["shout", "", "Join", "join ", "a\nb", "a`b - at `$.text`", "missing required field `text`", 5, None, []]
)
def test_an_unknown_type_is_an_unknown_command(kind: object) -> None:
    """An unknown type is `unknown_command`, not `malformed`; the id is echoed."""
    assert wrong(encoded(type=kind, id=9)) == ("unknown_command", TYPES, "type", 9)


def test_an_object_without_a_type_is_an_unknown_command() -> None:
    """An object without a type is an unknown command."""
    assert wrong(b'{"id":"x"}') == ("unknown_command", TYPES, "type", "x")


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"type": "message"}, "text", "text is required"),
        ({"type": "message", "text": 5}, "text", "text must be a string, not a whole number"),
        ({"type": "message", "text": None}, "text", "text must be a string, not null"),
        ({"type": "message", "text": "x", "key": ""}, "key", "key must have at least 1 character"),
        ({"type": "message", "text": "x", "key": "k" * 65}, "key", "key must have at most 64 characters"),
        ({"type": "message", "text": "x", "ack": "stored"}, "ack", "ack must be accepted or persisted"),
        ({"type": "message", "text": "x", "ack": None}, "ack", "ack must be accepted or persisted"),
        ({"type": "join", "name": 5}, "name", "name must be a string or null, not a whole number"),
        ({"type": "join", "token": "t" * 4097}, "token", "token must have at most 4096 characters"),
        ({"type": "join", "password": "p" * 129}, "password", "password must have at most 128 characters"),
        ({"type": "join", "resume": 5}, "resume", "resume must be an object or null, not a whole number"),
        ({"type": "join", "resume": {"seq": 1}}, "resume.epoch", "resume.epoch is required"),
        (
            {"type": "join", "resume": {"epoch": "e", "seq": "1"}},
            "resume.seq",
            "resume.seq must be a whole number, not a string",
        ),
        (
            {"type": "join", "resume": {"epoch": "e" * 65, "seq": 1}},
            "resume.epoch",
            "resume.epoch must have at most 64 characters",
        ),
        (
            {"type": "join", "resume": {"epoch": "e", "seq": 2**63}},
            "resume.seq",
            "resume.seq must be at most 9223372036854775807",
        ),
        ({"type": "message", "text": ""}, "text", "text must have 1 to 500 characters after trimming; this one has 0"),
        (
            {"type": "message", "text": " \n "},
            "text",
            "text must have 1 to 500 characters after trimming; this one has 0",
        ),
        (
            {"type": "message", "text": "x" * 501},
            "text",
            "text must have 1 to 500 characters after trimming; this one has 501",
        ),
        ({"type": "message", "text": "a\0b"}, "text", "text must not contain the character U+0000"),
        ({"type": "message", "text": "x", "key": "\0"}, "key", "key must not contain the character U+0000"),
        ({"type": "join", "name": ""}, "name", "name must have 1 to 50 characters after trimming; this one has 0"),
        (
            {"type": "join", "name": "x" * 51},
            "name",
            "name must have 1 to 50 characters after trimming; this one has 51",
        ),
        (
            {"type": "join", "name": "a\u202eb"},
            "name",
            "name must not contain U+202E (RIGHT-TO-LEFT OVERRIDE), which is a format character: remove it",
        ),
        ({"type": "join", "name": "Server"}, "name", "name is reserved for servers: choose another name"),
    ],
)
def test_an_error_names_the_wrong_field(fields: dict[str, Any], field: str, message: str) -> None:
    """The error names the wrong field, its rule, and the command's id."""
    assert wrong(encoded(id=7, **fields)) == ("validation_error", message, field, 7)


@pytest.mark.parametrize("kind", ["join", "message", "typing", "ping", "leave"])
@pytest.mark.parametrize("wrong_id", [1.5, True, {}, [], 2**63, -(2**63) - 1, 10**30, "i" * 65])
def test_an_invalid_id_is_not_echoed(kind: str, wrong_id: object) -> None:
    """An invalid id is refused, and not echoed."""
    code, _, field, command_id = wrong(encoded(type=kind, text="x", id=wrong_id))
    assert (code, field, command_id) == ("validation_error", "id", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["type", "id", "text", "name", "key", "ack", "resume", "token", "password", "epoch", "seq"]), JSON
)
KNOWN = st.fixed_dictionaries({"type": st.sampled_from(["join", "message", "typing", "ping", "leave"])})
PAYLOADS = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(lambda fields, known: json.dumps(fields | known).encode(), FIELDS, KNOWN)
)


def outcome(payload: bytes) -> Command | CommandError:
    """The decoded command, or its error."""
    try:
        return decode(payload)
    except CommandError as error:
        return error


@given(PAYLOADS)
def test_any_bytes_give_a_command_or_a_contract_error(payload: bytes) -> None:
    """Any bytes give a command within its limits or an error of the contract; no other exception is raised."""
    match outcome(payload):
        case CommandError(code=code, field=field, message=message):
            assert code in {"malformed", "unknown_command", "validation_error"}
            assert (field is None) == (code == "malformed")
            assert message
        case Message(text=text):
            assert text == text.strip()
            assert 1 <= len(text) <= 500
        case Join(name=str(name)):
            assert normalized_user(name) == name
