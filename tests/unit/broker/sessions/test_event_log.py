"""The payload that log and channel share, and the names by which users are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.sessions.event_log import Event, EventKind, parse
from broker.sessions.live_sessions import fold


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ana", "ANA"),
        ("Straße", "STRASSE"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}na", "ana"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}va", "e\N{COMBINING ACUTE ACCENT}VA"),
        ("\N{KELVIN SIGN}", "k"),
        ("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK CAPITAL LETTER SIGMA}"),
        ("\N{LATIN SMALL LIGATURE FI}n", "FIN"),
    ],
)
def test_names_that_look_the_same_fold_to_one(one: str, other: str) -> None:
    """Names that differ only in case or in the form of the same letters are one name."""
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("Ana", "Anna"), ("Ana", "Äna"), ("a b", "ab"), ("1", "l")])
def test_names_that_look_different_stay_different(one: str, other: str) -> None:
    """Names that look different are different."""
    assert fold(one) != fold(other)


@given(st.text(max_size=60))
def test_a_folded_name_folds_to_itself(name: str) -> None:
    """A folded name folds to itself, so that comparing is fair."""
    assert fold(fold(name)) == fold(name)
