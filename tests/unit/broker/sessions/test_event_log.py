"""The payload that log and channel share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.sessions.event_log import Event, EventKind, parse


@given(
    seq=st.integers(0, 2**53),
    kind=st.sampled_from(EventKind),
    user_id=st.sampled_from(["-", "5b0d7a52-6c07-4b86-9b2d-0d4f6a6b9f10"]),
    body=st.binary(),
)
def test_a_payload_is_split_into_header_and_body(seq: int, kind: EventKind, user_id: str, body: bytes) -> None:
    """The header is taken apart, the body stays as it is, line breaks and all."""
    payload = b"%d %b %b\n%b" % (seq, kind.value, user_id.encode(), body)
    assert parse(payload) == Event(seq, kind, user_id, body)


def test_an_unknown_kind_is_refused() -> None:
    """A payload of a kind that this version does not know raises, rather than being taken for another."""
    with pytest.raises(KeyError):
        parse(b"7 q u1\n{}")
