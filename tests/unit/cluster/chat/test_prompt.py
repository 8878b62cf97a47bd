"""What the prompt makes of a typed or pasted text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.chat.prompt import sendable


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("hällo 漢字 👩‍👧", "hällo 漢字 👩‍👧"),
        ("one\n\ttwo", "one\n two"),
        ("red: \x1b[31mtext\x00\x7f\x9b", "red: [31mtext"),
        ("no UTF-8: \udcff", "no UTF-8: \ufffd"),
    ],
)
def test_control_characters_are_not_sent(typed: str, sent: str) -> None:
    """Line breaks stay, a tab is a space, other control characters are left out, and a wrong byte is replaced."""
    assert sent == sendable(typed)


@given(st.binary(max_size=12))
def test_every_typed_text_can_be_sent(keys: bytes) -> None:
    """Any bytes make a text that UTF-8 can encode and that holds no control character but line breaks."""
    text = sendable(keys.decode(errors="surrogateescape"))
    assert text.encode().decode() == text
    assert all(character == "\n" or not "\0" <= character <= "\x1f" for character in text)
