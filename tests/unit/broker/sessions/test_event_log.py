"""The payload that log and channel share, and the names by which users are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.sessions.event_log import Event, parse, read
from broker.sessions.live_sessions import fold


@given(
    seq=st.integers(0, 2**53),
    kind=st.sampled_from([b"m", b"e", b"r", b"c", b"t", b"a", b"p", b"x"]),
    subject=st.sampled_from([b"-", b"5b0d7a52-6c07-4b86-9b2d-0d4f6a6b9f10"]),
    body=st.binary(),
)
def test_parse(seq: int, kind: bytes, subject: bytes, body: bytes) -> None:
    """The header is taken apart, the body stays as it is, line breaks and all."""
    assert parse(b"%d %b %b\n%b" % (seq, kind, subject, body)) == Event(seq, kind, subject, body)


def test_read() -> None:
    """A range of the log is told in its order; an empty one is nothing."""
    entries = [[b"7-0", [b"p", b"7 m u1\n{}"]], [b"8-0", [b"p", b"8 c -\n[]"]]]
    assert read(entries) == [Event(7, b"m", b"u1", b"{}"), Event(8, b"c", b"-", b"[]")]
    assert read([]) == []


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
def test_names_that_are_the_same(one: str, other: str) -> None:
    """Names that differ only in case or in the form of the same letters are one name."""
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("Ana", "Anna"), ("Ana", "Äna"), ("a b", "ab"), ("1", "l")])
def test_names_that_differ(one: str, other: str) -> None:
    """Names that look different are different."""
    assert fold(one) != fold(other)


@given(st.text(max_size=60))
def test_folding_a_folded_name(name: str) -> None:
    """A folded name folds to itself, so that comparing is fair."""
    assert fold(fold(name)) == fold(name)
