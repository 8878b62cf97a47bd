"""One user's state machine: every command in every phase, every mistake, any bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol import close_codes
from gateway.protocol.commands import Join
from gateway.protocol.state_machine import Announce, Effect, End, Phase, Pong, Publish, Refuse, StateMachine
from tests.unit.gateway.protocol.test_commands import PAYLOADS

JOIN: dict[str, Any] = {"type": "join", "id": 1, "name": "Ana"}
MESSAGE: dict[str, Any] = {"type": "message", "id": 2, "text": "hi"}
NOT_YET = Refuse(9, "not_joined", "wait for `welcome` first", is_retryable=True)


def say(participant: StateMachine, **fields: Any) -> Effect:
    """Have the client say it."""
    return participant.heard(json.dumps(fields).encode())


def at(phase: Phase, malformed_limit: int = 3) -> StateMachine:
    """A participant who has come so far."""
    participant = StateMachine(malformed_limit)
    if phase >= Phase.JOINING:
        say(participant, **JOIN)
    if phase >= Phase.JOINED:
        participant.joined()
    if phase is Phase.ENDED:
        participant.ended()
    assert participant.phase is phase
    return participant


@pytest.mark.parametrize(
    ("phase", "fields", "effect", "then"),
    [
        (Phase.WAITING, JOIN, Join(id=1, name="Ana"), Phase.JOINING),
        (Phase.WAITING, {"type": "join", "token": "t"}, Join(token="t"), Phase.JOINING),
        (Phase.WAITING, {"type": "ping", "id": 9}, End(close_codes.BAD_JOIN, 9), Phase.ENDED),
        (Phase.WAITING, {"type": "typing", "id": 9}, End(close_codes.BAD_JOIN, 9), Phase.ENDED),
        (Phase.WAITING, {"type": "leave", "id": 9}, End(close_codes.BAD_JOIN, 9), Phase.ENDED),
        (Phase.WAITING, {**MESSAGE, "id": 9}, End(close_codes.BAD_JOIN, 9), Phase.ENDED),
        (Phase.JOINING, JOIN, Refuse(1, "validation_error", "already joined", "type"), Phase.JOINING),
        (Phase.JOINING, {"type": "ping", "id": 9}, Pong(9), Phase.JOINING),
        (Phase.JOINING, {"type": "typing", "id": 9}, NOT_YET, Phase.JOINING),
        (Phase.JOINING, {**MESSAGE, "id": 9}, NOT_YET, Phase.JOINING),
        (Phase.JOINING, {"type": "leave"}, End(close_codes.LEFT), Phase.ENDED),
        (Phase.JOINED, JOIN, Refuse(1, "validation_error", "already joined", "type"), Phase.JOINED),
        (Phase.JOINED, {"type": "join"}, Refuse(None, "validation_error", "already joined", "type"), Phase.JOINED),
        (Phase.JOINED, {"type": "ping"}, Pong(None), Phase.JOINED),
        (Phase.JOINED, {"type": "typing"}, Announce(), Phase.JOINED),
        (Phase.JOINED, MESSAGE, Publish(2, "hi", None), Phase.JOINED),
        (Phase.JOINED, {**MESSAGE, "key": "k", "id": "x"}, Publish("x", "hi", "k"), Phase.JOINED),
        (
            Phase.JOINED,
            {**MESSAGE, "ack": "persisted"},
            Publish(2, "hi", None, is_awaited=True),
            Phase.JOINED,
        ),
        (Phase.JOINED, {"type": "leave", "id": 9}, End(close_codes.LEFT), Phase.ENDED),
        *(
            (Phase.ENDED, fields, None, Phase.ENDED)
            for fields in (JOIN, MESSAGE, {"type": "ping"}, {"type": "leave"}, {"type": "typing"}, {"type": "what"})
        ),
    ],
)
def test_transition(phase: Phase, fields: dict[str, Any], effect: Effect, then: Phase) -> None:
    """Each command has one effect in each phase, and leads to one phase."""
    participant = at(phase)
    assert say(participant, **fields) == effect
    assert participant.phase is then


def test_a_join_without_name_and_token() -> None:
    """Nobody can come as nobody; the end says what is missing."""
    participant = at(Phase.WAITING)
    effect = say(participant, type="join", id=4, password="a password")
    assert isinstance(effect, End)
    assert (effect.ending.code, effect.command_id, effect.field) == (4500, 4, "name")
    assert "a name, or the token" in effect.ending.message


@pytest.mark.parametrize(
    ("payload", "message", "field", "command_id"),
    [
        (b"nonsense", "the frame is not JSON, or nested too deeply", None, None),
        (b"[]", "a frame must hold one JSON object", None, None),
        (b'{"type":"join","id":5,"name":5}', "name: Expected `str | null`, got `int`", "name", 5),
        (b'{"type":"what","id":5}', "type must be one of join, leave, message, ping, typing", "type", 5),
    ],
)
def test_a_wrong_first_frame(payload: bytes, message: str, field: str | None, command_id: int | None) -> None:
    """The first frame must be right: otherwise the connection ends, and the end says what was wrong."""
    participant = at(Phase.WAITING)
    effect = participant.heard(payload)
    assert effect == End(close_codes.BAD_JOIN.saying(message), command_id, field)
    assert participant.phase is Phase.ENDED


@pytest.mark.parametrize("phase", [Phase.JOINING, Phase.JOINED])
@pytest.mark.parametrize(
    ("payload", "effect"),
    [
        (b"nonsense", Refuse(None, "malformed", "the frame is not JSON, or nested too deeply")),
        (
            b'{"type":"what","id":5}',
            Refuse(5, "unknown_command", "type must be one of join, leave, message, ping, typing", "type"),
        ),
        (b'{"type":"message","id":5}', Refuse(5, "validation_error", "text: this field is required", "text")),
    ],
)
def test_a_wrong_later_frame(phase: Phase, payload: bytes, effect: Effect) -> None:
    """Later mistakes are answered, and the connection goes on; a retry as it is would not help."""
    participant = at(phase)
    assert participant.heard(payload) == effect
    assert participant.phase is phase


def test_binary_frames() -> None:
    """A binary frame is malformed at any time: the end as the first, an error later, nothing at the end."""
    first = at(Phase.WAITING)
    assert first.heard_binary() == End(close_codes.BAD_JOIN.saying("frames must be text"))
    assert first.phase is Phase.ENDED
    assert at(Phase.JOINED).heard_binary() == Refuse(None, "malformed", "frames must be text")
    assert at(Phase.ENDED).heard_binary() is None


def test_too_many_malformed_frames() -> None:
    """The limit of malformed frames in a row is allowed, the next one ends the connection."""
    participant = at(Phase.JOINED, malformed_limit=3)
    effects = [participant.heard(b"nonsense"), participant.heard_binary(), participant.heard(b"[]")]
    assert [type(effect) for effect in effects] == [Refuse] * 3
    assert participant.heard(b"nonsense") == End(close_codes.ABUSE)
    assert participant.phase is Phase.ENDED
    assert participant.heard(b"nonsense") is None


def test_a_good_frame_forgives() -> None:
    """Malformed frames count only in a row; mistakes of other kinds do not count, and do not forgive."""
    participant = at(Phase.JOINED, malformed_limit=2)
    for _ in range(5):
        assert isinstance(participant.heard(b"nonsense"), Refuse)
        assert isinstance(participant.heard(b"nonsense"), Refuse)
        assert isinstance(say(participant, type="ping"), Pong)
    for _ in range(2):
        assert isinstance(participant.heard(b"nonsense"), Refuse)
        assert isinstance(say(participant, type="what"), Refuse)
    assert participant.heard(b"nonsense") == End(close_codes.ABUSE)


@given(st.lists(PAYLOADS | st.just(json.dumps(JOIN).encode()), max_size=12), st.integers(0, 12))
def test_whatever_comes(payloads: list[bytes], joined_after: int) -> None:
    """Any frames in any order give effects and never raise; there is one join, one end, and nothing after it."""
    participant = StateMachine(malformed_limit=3)
    effects: list[Effect] = []
    for number, payload in enumerate(payloads):
        if number == joined_after and participant.phase is Phase.JOINING:
            participant.joined()
        effects.append(participant.heard(payload))
    ends = [number for number, effect in enumerate(effects, 1) if isinstance(effect, End)]
    last = ends[0] if ends else len(effects)
    assert len(ends) <= 1
    assert (participant.phase is Phase.ENDED) == bool(ends)
    assert None not in effects[:last]
    assert set(effects[last:]) <= {None}
    assert len([effect for effect in effects if isinstance(effect, Join)]) <= 1
