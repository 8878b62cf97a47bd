"""What holds for every input whatsoever: of the decoder, and of the decoding of commands."""

import json

import msgspec

from gateway.names.validator import MAX_USER_NAME, normalized_user
from gateway.protocol import server_events
from gateway.protocol.commands import (
    MAX_KEY,
    MAX_TEXT,
    Command,
    CommandError,
    CommandId,
    Join,
    Message,
    decode,
)
from gateway.protocol.decoder import Decoder
from gateway.protocol.frames import Binary, Close, Event, Ping, Pong, Text, Violation
from tests.frame_streams import LIMIT, bytewise, decode_split, oracle, split
from tests.frame_streams import decode as decode_stream

BYTEWISE_BYTES = 300  # longer ones would take most of the time
# `websockets` does not mind a length in a longer form than it needs, in control frames neither.
NOT_SHORTEST = {"length is not in its shortest form", "control frame over 125 bytes"}
_MAX_ID = 64


def check_stream(data: bytes, cuts: list[int]) -> None:
    """The decoder never raises, does not depend on how the stream is cut, and sees what `websockets` sees."""
    whole = decode_stream(data)
    assert decode_split(split(data, cuts)) == whole
    if len(data) <= BYTEWISE_BYTES:
        assert decode_split(bytewise(data)) == whole
    assert not any(isinstance(event, Close | Violation) for event in whole[:-1])
    for event in whole:
        if isinstance(event, Text):
            event.payload.decode()
            assert len(event.payload) <= LIMIT
        elif isinstance(event, Violation):
            assert event.code in {1002, 1007, 1009}
    _check_silence(data, whole)
    _check_agreement(whole, oracle(data))


def _check_silence(data: bytes, whole: list[Event]) -> None:
    """After an end nothing is heard any more."""
    if whole and isinstance(whole[-1], Close | Violation):
        decoder = Decoder(LIMIT)
        decoder.feed(data)
        assert decoder.feed(data)[0] == []


def _check_agreement(ours: list[Event], theirs: list[Event]) -> None:
    """Both see the same events, up to where one of them refuses what the other does not, for a reason that is known."""
    same = 0
    while same < min(len(ours), len(theirs)) and ours[same] == theirs[same]:
        same += 1
    ours, theirs = ours[same : same + 1], theirs[same : same + 1]
    match ours, theirs:
        case ([], []):
            pass
        case ([Violation()], [Violation()] | []):
            pass  # what breaks two rules may be refused for either, and we wait for no more than is needed
        case ([Violation(code, reason)], [theirs_next]):
            # `websockets` leaves it to its caller to decode texts, which we do as they come.
            assert reason in NOT_SHORTEST or (code == 1007 and not isinstance(theirs_next, Binary)), theirs_next
        case ([Close()], [Violation(code=1002)]):
            pass  # `websockets` refuses a close between fragments; RFC 6455 section 5.4 allows it
        case ([Ping() | Pong() | Close()] | [], [Violation(code=1009)]):
            pass  # `websockets` counts control frames between fragments towards the message's size
        case _:
            raise AssertionError(f"we see {ours}, websockets sees {theirs}")


def check_command(payload: bytes) -> None:
    """A frame is a command within its limits, or an error that can be told to the client; nothing else is raised."""
    try:
        command = decode(payload)
    except CommandError as error:
        _check_refusal(error)
        return
    _check_id(command.id)
    assert json.loads(server_events.pong(command.id)).get("id") == command.id
    _check_limits(command)
    again = msgspec.json.encode(command)
    assert decode(again) == command, "what was trimmed and accepted is accepted as it is"
    assert decode(payload) == command


def _check_refusal(error: CommandError) -> None:
    assert error.code in {"malformed", "validation_error", "unknown_command"}
    _check_id(error.command_id)
    data = server_events.ErrorData(error.code, error.message, field=error.field)
    answer = json.loads(server_events.error(error.command_id, data))
    assert (answer.get("id"), answer["data"]["code"]) == (error.command_id, error.code)


def _check_id(command_id: CommandId) -> None:
    match command_id:
        case int():
            assert -(2**63) <= command_id < 2**63
        case str():
            assert len(command_id) <= _MAX_ID
        case None:
            pass


def _check_limits(command: Command) -> None:
    match command:
        case Message():
            assert 1 <= len(command.text) <= MAX_TEXT
            assert command.text == command.text.strip()
            assert "\0" not in command.text + (command.key or "")
            assert command.key is None or 1 <= len(command.key) <= MAX_KEY
        case Join(name=str(name)):
            assert 1 <= len(name) <= MAX_USER_NAME
            assert normalized_user(name) == name
        case _:
            pass
