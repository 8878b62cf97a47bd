"""The model of a session finds what is wrong, and accepts what is right."""

import msgspec
import pytest

from tests.fuzz.sessions.model import BrokenError, Model, decoded
from tests.fuzz.sessions.plan import Said


def message(seq: int, text: str, user_id: str | None = "a", user_name: str = "Ana") -> bytes:
    data = {"user_id": user_id, "user_name": user_name, "text": text}
    return msgspec.json.encode({"type": "message_received", "seq": seq, "data": data})


def hear(model: Model, *payloads: bytes) -> None:
    for payload in payloads:
        model.hear(decoded(payload), payload)


def said(text: str, key: str | None = None) -> Said:
    return Said(b"", "ack", text=text, key=key)


def test_what_was_said_must_come_once_and_in_order() -> None:
    """The model is settled when everything has come, and not before."""
    model = Model()
    for text in ("one", "two"):
        assert model.say("a", said(text)).text == text
    hear(model, message(1, "one"))
    assert not model.is_settled()
    hear(model, message(1, "one"), message(2, "two"))  # another client, and then the next
    assert model.is_settled()
    assert model.last_seq == 2


def test_a_repeated_key_stands_for_the_first_text() -> None:
    """Its ack names the first message, and no second event may come."""
    model = Model()
    model.say("a", said("one", key="k"))
    assert model.say("a", said("other", key="k")).text == "one"
    hear(model, message(1, "one"))
    assert model.is_settled()
    with pytest.raises(BrokenError, match="nobody said"):
        hear(model, message(2, "one"))


@pytest.mark.parametrize(
    "payloads",
    [
        pytest.param([message(1, "two")], id="out of order"),
        pytest.param([message(1, "never said")], id="invented"),
        pytest.param([message(1, "one", user_id="b")], id="of somebody else"),
        pytest.param([message(1, "one"), message(1, "two")], id="two events with one seq"),
        pytest.param([message(1, "one"), message(2, "one")], id="twice"),
        pytest.param([b'{"type":"user_left","seq":1,"data":{"user":{"id":"a"},"reason":"lost"}}'], id="nobody left"),
        pytest.param([b'{"type":"user_joined","seq":1,"data":{"user":{"name":"Ben"}}}'], id="nobody joined"),
        pytest.param([b'{"type":"session_closed","seq":1,"data":{}}'], id="nobody closed the session"),
    ],
)
def test_what_nobody_did_is_found(payloads: list[bytes]) -> None:
    """Each event needs its cause."""
    model = Model()
    for text in ("one", "two"):
        model.say("a", said(text))
    with pytest.raises(BrokenError):
        hear(model, *payloads)


def test_a_hole_is_not_settled() -> None:
    """What comes after a missing seq explains nothing yet."""
    model = Model()
    model.say("a", said("one"))
    hear(model, message(2, "one"))
    assert not model.is_settled()
    assert model.last_seq == 0


def test_what_a_lost_connection_said_may_come_or_not() -> None:
    """Nobody can know, so both are right; but not twice."""
    model = Model()
    model.say_and_go("a", said("perhaps"))
    assert model.is_settled()
    hear(model, message(1, "perhaps"))
    with pytest.raises(BrokenError):
        hear(model, message(2, "perhaps"))


def test_joins_and_leaves_are_awaited() -> None:
    """Each once, with the right reason."""
    model = Model()
    model.joining.add("Ana")
    model.leaving["b"] = "left"
    assert not model.is_settled()
    hear(
        model,
        b'{"type":"user_joined","seq":1,"data":{"user":{"id":"a","name":"Ana"}}}',
        b'{"type":"user_left","seq":2,"data":{"user":{"id":"b","name":"Ben"},"reason":"left"}}',
    )
    assert model.is_settled()


def test_servers_speak_by_their_names() -> None:
    """A message of a server has no user id."""
    model = Model()
    model.voice("server 1").certain.append("hello")
    hear(model, message(1, "hello", user_id=None, user_name="server 1"))
    assert model.is_settled()
