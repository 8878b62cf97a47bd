"""Instants, the bytes of events, and decoding of stored events."""

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.events import (
    Empty,
    Message,
    MessageReceived,
    SessionClosed,
    User,
    UserJoined,
    UserLeft,
    UserTypingData,
    decode_stored,
    ephemeral,
    instant,
    tail,
)

TS = "2026-11-22T21:05:00.123Z"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 22, 21, 5, 0, 123_999, UTC), TS),
        (datetime(2026, 11, 22, 21, 5, 0, 0, UTC), "2026-11-22T21:05:00.000Z"),
        (datetime(2026, 11, 22, 21, 5, 0, 999, UTC), "2026-11-22T21:05:00.000Z"),
        (datetime(2026, 1, 1, 0, 30, 0, 7000, timezone(timedelta(hours=2))), "2025-12-31T22:30:00.007Z"),
    ],
)
def test_an_instant_is_utc_with_milliseconds(moment: datetime, text: str) -> None:
    """A moment is told in UTC with milliseconds, cut and not rounded."""
    assert instant(moment) == text


def test_an_instant_without_a_moment_is_now() -> None:
    """Without a moment it is now."""
    before = datetime.now(UTC)
    now = datetime.fromisoformat(instant())
    assert before - timedelta(milliseconds=1) <= now <= datetime.now(UTC)


def test_the_tail_is_the_rest_of_an_event() -> None:
    """The tail is the rest of an event after its seq."""
    assert b'{"type":"session_closed","seq":7' + tail(TS, Empty()) == (
        b'{"type":"session_closed","seq":7,"ts":"2026-11-22T21:05:00.123Z","data":{}}'
    )


def test_an_ephemeral_event_is_whole_without_seq() -> None:
    """An ephemeral event is whole, and has no seq."""
    body = ephemeral("user_typing", TS, UserTypingData(User("u1", "Ana")))
    assert body == b'{"type":"user_typing","ts":"2026-11-22T21:05:00.123Z","data":{"user":{"id":"u1","name":"Ana"}}}'


@given(text=st.text(), name=st.text(), user_id=st.none() | st.uuids().map(str), seq=st.integers(1, 2**53))
def test_a_message_reads_back(text: str, name: str, user_id: str | None, seq: int) -> None:
    """The event that the script puts together is one line of JSON and reads back, for any message."""
    message = Message("m1", "s1", user_id, name, text, TS, is_spirit=False)
    body = b'{"type":"message_received","seq":' + str(seq).encode() + tail(TS, message)
    assert b"\n" not in body
    assert decode_stored(body) == MessageReceived(TS, message, seq)
    assert json.loads(body)["data"] == msgspec.to_builtins(message)


@pytest.mark.parametrize("seq", [0, 9])
def test_every_stored_type_reads_back(seq: int) -> None:
    """Each type that is stored is told apart; without a seq, under summary presence, it is 0."""
    numbered = f'"seq":{seq},' if seq else ""
    user = '"user":{"id":"u1","name":"Ana"},"user_count":2'
    data = {
        "user_joined": f"{{{user}}}",
        "user_left": f'{{{user},"reason":"lost"}}',
        "session_closed": "{}",
    }
    events = [decode_stored(f'{{"type":"{kind}",{numbered}"ts":"{TS}","data":{data[kind]}}}') for kind in data]
    assert [type(event) for event in events] == [UserJoined, UserLeft, SessionClosed]
    assert [event.seq for event in events] == [seq] * 3
    left = events[1]
    assert isinstance(left, UserLeft)
    assert (left.data.user, left.data.user_count, left.data.reason) == (User("u1", "Ana"), 2, "lost")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        '{"type":"user_typing","ts":"","data":{"user":{"id":null,"name":""}}}',
        '{"type":"user_left","seq":1,"ts":"","data":{"user":{"id":"u","name":"n"},"user_count":0,"reason":"bored"}}',
        '{"type":"session_closed","seq":"1","ts":"","data":{}}',
    ],
)
def test_an_event_that_is_never_stored_is_refused(body: str) -> None:
    """JSON that is no stored event, or a wrong one, is refused."""
    with pytest.raises(msgspec.DecodeError):
        decode_stored(body)
