"""One connection's state machine: every command in every state, every mistake, pings, closes, any bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol import close_codes, server_events
from gateway.protocol.close_codes import Ending
from gateway.protocol.commands import CommandId, Join
from gateway.protocol.frames import close_frame, ping_frame, pong_frame, text_frame
from gateway.protocol.server_events import ErrorData
from gateway.protocol.socket_limits import SocketLimits
from gateway.protocol.state_machine import (
    ABNORMAL,
    NO_STATUS,
    PINGS_UNANSWERED,
    Announce,
    ClosedByClient,
    ConnectionState,
    Disconnect,
    Effect,
    Fail,
    Publish,
    Reply,
    StateMachine,
)
from tests.frames import client_frame, close, text
from tests.unit.gateway.protocol.test_commands import PAYLOADS

JOIN: dict[str, Any] = {"type": "join", "id": 1, "name": "Ana"}
MESSAGE: dict[str, Any] = {"type": "message", "id": 2, "text": "hi"}
NOW = 100.0
NO_JSON = "the frame is not JSON, or nested too deeply"
PING, PONG, BINARY = client_frame(9, b"?"), client_frame(10, b""), client_frame(2, b"x")
AWAITING_JOIN, JOINING, JOINED, CLOSING = (
    ConnectionState.AWAITING_JOIN,
    ConnectionState.JOINING,
    ConnectionState.JOINED,
    ConnectionState.CLOSING,
)


def machine(malformed_limit: int = 3) -> StateMachine:
    """The state machine of a new connection."""
    return StateMachine(SocketLimits(max_frame_bytes=16_384, malformed_frames=malformed_limit))


def take(one: StateMachine, data: bytes, now: float = NOW) -> list[Effect]:
    """The effects of one turn of these bytes; an `End` is carried out, as a connection does."""
    effects = []
    for effect in one.receive(data, now):
        effects.append(effect)
        if isinstance(effect, Disconnect | Fail) and one.is_open:
            one.close(effect.ending)
    return effects


def say(one: StateMachine, **fields: Any) -> Effect | None:
    """Feed the client's command."""
    return next(iter(take(one, text(json.dumps(fields)))), None)


def at(state: ConnectionState, malformed_limit: int = 3) -> StateMachine:
    """A state machine in this state."""
    one = machine(malformed_limit)
    if state >= JOINING:
        say(one, **JOIN)
    if state >= JOINED:
        one.joined()
    if state is CLOSING:
        one.close(close_codes.RESTART)
    assert one.state is state
    return one


def error(
    command_id: CommandId, code: str, message: str, field: str | None = None, *, retryable: bool = False
) -> Reply:
    """An answer with this error."""
    return Reply(text_frame(server_events.error(command_id, ErrorData(code, message, retryable, field))))


def pong(command_id: CommandId) -> Reply:
    """An answer to a ping command."""
    return Reply(text_frame(server_events.pong(command_id)))


NOT_YET = error(9, "not_joined", "wait for `welcome` first", retryable=True)
ALREADY = error(1, "validation_error", "already joined", "type")


@pytest.mark.parametrize(
    ("state", "fields", "effect", "then"),
    [
        (AWAITING_JOIN, JOIN, Join(id=1, name="Ana"), JOINING),
        (AWAITING_JOIN, {"type": "join", "token": "t"}, Join(token="t"), JOINING),
        (AWAITING_JOIN, {"type": "ping", "id": 9}, Disconnect(close_codes.BAD_JOIN, 9), CLOSING),
        (AWAITING_JOIN, {"type": "typing", "id": 9}, Disconnect(close_codes.BAD_JOIN, 9), CLOSING),
        (AWAITING_JOIN, {"type": "leave", "id": 9}, Disconnect(close_codes.BAD_JOIN, 9), CLOSING),
        (AWAITING_JOIN, {**MESSAGE, "id": 9}, Disconnect(close_codes.BAD_JOIN, 9), CLOSING),
        (JOINING, JOIN, ALREADY, JOINING),
        (JOINING, {"type": "ping", "id": 9}, pong(9), JOINING),
        (JOINING, {"type": "typing", "id": 9}, NOT_YET, JOINING),
        (JOINING, {**MESSAGE, "id": 9}, NOT_YET, JOINING),
        (JOINING, {"type": "leave"}, Disconnect(close_codes.LEFT), CLOSING),
        (JOINED, JOIN, ALREADY, JOINED),
        (JOINED, {"type": "join"}, error(None, "validation_error", "already joined", "type"), JOINED),
        (JOINED, {"type": "ping"}, pong(None), JOINED),
        (JOINED, {"type": "typing"}, Announce(), JOINED),
        (JOINED, MESSAGE, Publish(2, "hi", None), JOINED),
        (JOINED, {**MESSAGE, "key": "k", "id": "x"}, Publish("x", "hi", "k"), JOINED),
        (JOINED, {**MESSAGE, "ack": "persisted"}, Publish(2, "hi", None, is_awaited=True), JOINED),
        (JOINED, {"type": "leave", "id": 9}, Disconnect(close_codes.LEFT), CLOSING),
        *(
            (CLOSING, fields, None, CLOSING)
            for fields in (JOIN, MESSAGE, {"type": "ping"}, {"type": "leave"}, {"type": "typing"}, {"type": "what"})
        ),
    ],
)
def test_each_command_has_one_effect_in_each_state(
    state: ConnectionState, fields: dict[str, Any], effect: Effect | None, then: ConnectionState
) -> None:
    """Each command has one effect in each state, and leads to one state."""
    one = at(state)
    assert say(one, **fields) == effect
    assert one.state is then


def test_a_join_without_name_and_token_ends_the_connection() -> None:
    """A join without name and token ends the connection, and the error says what is missing."""
    effect = say(at(AWAITING_JOIN), type="join", id=4, password="a password")
    assert isinstance(effect, Disconnect)
    assert (effect.ending.code, effect.command_id, effect.field) == (4500, 4, "name")
    assert "a name, or the token" in effect.ending.message


@pytest.mark.parametrize(
    ("payload", "message", "field", "command_id"),
    [
        (b"nonsense", NO_JSON, None, None),
        (b"[]", "a frame must hold one JSON object", None, None),
        (b'{"type":"join","id":5,"name":5}', "name must be a string or null, not a whole number", "name", 5),
        (b'{"type":"what","id":5}', "type must be one of join, leave, message, ping, refresh, typing", "type", 5),
    ],
)
def test_a_wrong_first_frame_ends_the_connection(
    payload: bytes, message: str, field: str | None, command_id: int | None
) -> None:
    """A wrong first frame ends the connection, and the error says what is wrong."""
    one = at(AWAITING_JOIN)
    assert take(one, client_frame(1, payload)) == [Disconnect(close_codes.BAD_JOIN.saying(message), command_id, field)]
    assert one.state is CLOSING


@pytest.mark.parametrize("state", [JOINING, JOINED])
@pytest.mark.parametrize(
    ("payload", "effect"),
    [
        (b"nonsense", error(None, "malformed", NO_JSON)),
        (
            b'{"type":"what","id":5}',
            error(5, "unknown_command", "type must be one of join, leave, message, ping, refresh, typing", "type"),
        ),
        (b'{"type":"message","id":5}', error(5, "validation_error", "text is required", "text")),
    ],
)
def test_a_wrong_later_frame_is_answered(state: ConnectionState, payload: bytes, effect: Effect) -> None:
    """A wrong later frame gets an error that is not retryable, and the connection goes on."""
    one = at(state)
    assert take(one, client_frame(1, payload)) == [effect]
    assert one.state is state


def test_a_binary_frame_is_malformed_in_every_state() -> None:
    """A binary frame ends the connection as the first frame, gets an error later, and is ignored while closing."""
    assert take(at(AWAITING_JOIN), BINARY) == [Disconnect(close_codes.BAD_JOIN.saying("frames must be text"))]
    assert take(at(JOINED), BINARY) == [error(None, "malformed", "frames must be text")]
    assert take(at(CLOSING), BINARY) == []


def test_more_malformed_frames_in_a_row_than_the_limit_end_the_connection() -> None:
    """The limit of malformed frames in a row is allowed, the next one ends the connection."""
    one = at(JOINED, malformed_limit=3)
    nonsense = text("nonsense")
    assert [type(effect) for effect in take(one, nonsense + BINARY + text("[]"))] == [Reply] * 3
    assert take(one, nonsense) == [Disconnect(close_codes.ABUSE)]
    assert one.state is CLOSING
    assert take(one, nonsense) == []


def test_a_valid_command_sets_the_count_of_malformed_frames_back() -> None:
    """Only consecutive malformed frames count; other errors neither count nor reset the count."""
    one = at(JOINED, malformed_limit=2)
    nonsense = text("nonsense")
    for _ in range(5):
        assert [type(effect) for effect in take(one, nonsense * 2)] == [Reply] * 2
        assert say(one, type="ping") == pong(None)
    for _ in range(2):
        assert [type(effect) for effect in take(one, nonsense)] == [Reply]
        assert isinstance(say(one, type="what"), Reply)
    assert take(one, nonsense) == [Disconnect(close_codes.ABUSE)]


# Pings (RFC 6455, 5.5.2)


def test_a_ping_of_the_client_gets_a_pong_with_its_payload() -> None:
    """A ping is answered while the connection is open, and ignored afterwards."""
    assert take(at(AWAITING_JOIN), PING) == take(at(JOINED), PING) == [Reply(pong_frame(b"?"))]
    assert take(at(CLOSING), PING) == []


def test_a_silent_client_is_pinged_twice_and_then_ended() -> None:
    """After a silent interval the client is pinged; two unanswered pings later the heartbeat is lost."""
    one = at(JOINED)
    assert one.tick() is None
    assert [one.tick() for _ in range(PINGS_UNANSWERED)] == [Reply(ping_frame())] * PINGS_UNANSWERED
    assert one.tick() == Disconnect(close_codes.HEARTBEAT_LOST)


def test_a_pong_keeps_an_idle_connection_that_goes_on_being_pinged() -> None:
    """A pong answers the earlier pings but is no traffic: the next interval pings again."""
    one = at(JOINED)
    one.tick()
    for _ in range(3 * PINGS_UNANSWERED):
        assert one.tick() == Reply(ping_frame())
        assert take(one, PONG) == []


def test_traffic_makes_a_ping_unnecessary() -> None:
    """A client that sent a frame in the interval is not pinged."""
    one = at(JOINED)
    for _ in range(5):
        say(one, type="typing")
        assert one.tick() is None


def test_a_connection_that_is_closing_is_not_pinged() -> None:
    """No ping is sent after the close frame."""
    one = at(CLOSING)
    assert [one.tick() for _ in range(5)] == [None] * 5


# The closing handshake (RFC 6455, 7)


def test_the_close_of_the_client_is_answered_with_its_code() -> None:
    """The client's close code is sent back, or no code when it had none; later frames are ignored."""
    one, other = at(JOINED), at(JOINED)
    assert take(one, close(1001, b"bye") + text(json.dumps(MESSAGE))) == [ClosedByClient(close_frame(1001))]
    assert (one.state, one.close_code) == (CLOSING, 1001)
    assert take(other, close(None)) == [ClosedByClient(close_frame())]
    assert other.close_code == NO_STATUS


def test_the_answer_to_our_own_close_is_not_answered() -> None:
    """After the server's close frame the client's close frame only ends the socket."""
    one = at(CLOSING)
    assert take(one, close(1012)) == [ClosedByClient(b"")]
    assert one.close_code == close_codes.RESTART.code


@pytest.mark.parametrize("state", [AWAITING_JOIN, JOINED])
def test_a_broken_protocol_fails_the_connection(state: ConnectionState) -> None:
    """An unmasked frame fails the connection with its code, after the effects of the frames before it."""
    one = at(state)
    assert take(one, PING + client_frame(1, b"x", mask=None) + PING) == [
        Reply(pong_frame(b"?")),
        Fail(Ending(1002, "frame is not masked", "frame is not masked")),
    ]
    assert (one.state, one.close_code) == (CLOSING, 1002)


def test_an_error_with_the_name_of_the_code_precedes_a_close_from_4000_on() -> None:
    """An error with the close's name precedes a 4xxx close; other closes have no error."""
    data = ErrorData("name_taken", close_codes.NAME_TAKEN.message, retryable=False, field="name")
    assert at(JOINING).close(close_codes.NAME_TAKEN, 7, "name") == (
        text_frame(server_events.error(7, data)) + close_frame(4506, "name_taken")
    )
    assert at(JOINED).close(close_codes.LEFT) == close_frame(1000, "left")


def test_a_lost_socket_has_the_code_of_an_abnormal_closure() -> None:
    """Without a close frame the code is 1006 (RFC 6455, 7.1.5)."""
    one = at(JOINED)
    one.lost()
    assert (one.state, one.close_code, one.is_open) == (ConnectionState.CLOSED, ABNORMAL, False)


def test_a_late_join_ends_with_what_was_awaited() -> None:
    """Without a join in time the end is `bad_join`; during the join's requests to Redis it is `unavailable`."""
    early, late = at(AWAITING_JOIN).join_is_late(10), at(JOINING).join_is_late(10)
    assert (early.ending.code, early.ending.message) == (4500, "no join came within 10 seconds")
    assert (late.ending.code, late.ending.message) == (4002, "the join took longer than 10 seconds")


@given(st.lists(PAYLOADS | st.just(json.dumps(JOIN).encode()), max_size=12), st.integers(0, 12))
def test_any_frames_in_any_order_give_at_most_one_join_and_one_end(payloads: list[bytes], joined_after: int) -> None:
    """Any frames in any order give effects and never raise: one join and one end at most, and nothing after it."""
    one = machine()
    effects: list[Effect] = []
    for number, payload in enumerate(payloads):
        if number == joined_after and one.state is JOINING:
            one.joined()
        effects += take(one, client_frame(1, payload))
    ends = [number for number, effect in enumerate(effects) if isinstance(effect, Disconnect | Fail)]
    assert one.is_open != bool(ends)
    # After the end only a violation still has an effect.
    assert not ends or all(isinstance(effect, Fail) for effect in effects[ends[0] + 1 :])
    assert len([effect for effect in effects if isinstance(effect, Join)]) <= 1
