"""The terminal client without a terminal: keys into lines, events into words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seance_client import (
    Connected,
    Disconnected,
    Event,
    Gap,
    NotRecovered,
    Position,
    PresenceChanged,
    Recovered,
    SessionInfo,
    SpiritThinking,
    Unknown,
    User,
    UserTyping,
    Welcome,
)

from cluster.chat.line_editor import Keyboard
from cluster.chat.terminal import _end_that_fits
from cluster.chat.transcript import Line, Transcript, plain
from cluster.commands.chat import _place

ID = "00000000-0000-4000-8000-000000000001"
WELCOME = Welcome(SessionInfo("s", "Evening"), User("u", "Ana"), 1, "e", "t", (User("u", "Ana"),), 1)


@pytest.mark.parametrize(
    ("keys", "finished", "typed"),
    [
        (b"hi\rthere\n", ["hi", "there"], ""),
        (b"hii\x7f\x08i", [], "hi"),
        (b"one two\x17", [], "one "),
        (b"one\x17", [], ""),
        (b"one\x15two", [], "two"),
        (b"a\x1b[A\x1b[1;5D\x1bOP\x1bxb\x1b[3~", [], "ab"),
        (b"a\tb\x00\x01", [], "a b"),
        ("ä".encode() + b"\xff", [], "ä\ufffd"),
        (b"half\x04\r\x04more", ["half", None], ""),
        (b"x" * 20, [], "x" * 10),
    ],
)
def test_keys(keys: bytes, finished: list[str | None], typed: str) -> None:
    """Every key does what it does in a shell, or nothing."""
    keyboard = Keyboard(10)
    assert (keyboard.press(keys), keyboard.typed) == (finished, typed)


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_any_keys(presses: list[bytes]) -> None:
    """Whatever is pressed, what is typed has no control characters and keeps its limit."""
    keyboard = Keyboard(10)
    for keys in presses:
        for line in (*keyboard.press(keys), keyboard.typed):
            assert line is None or (len(line) <= 10 and all(character >= " " for character in line))


@given(st.text())
def test_plain_texts_do_nothing(text: str) -> None:
    """Nothing that others write can control the terminal or turn the direction of what follows."""
    assert all(character.isprintable() or character in "\u200c\u200d" for character in plain(text))


@given(st.text(), st.integers(min_value=0, max_value=10))
def test_end_that_fits(text: str, columns: int) -> None:
    """Of a long line the end is shown, never wider than there is room; characters of double width count twice."""
    end = _end_that_fits(text, columns)
    assert text.endswith(end)
    assert _end_that_fits("漢字", 3) == "字"
    assert len([character for character in end if character.isascii()]) <= columns


def test_the_connection_in_words() -> None:
    """What happens to the connection is told as people say it; what does not matter is not told."""
    transcript = Transcript()
    lost = Disconnected(1006, "refused", will_retry=True, retry_seconds=0.5)
    events: list[Event] = [
        lost,
        Connected(WELCOME),
        Disconnected(4003, "", will_retry=True),
        Connected(WELCOME),
        Recovered("log", 0),
        Recovered("log", 1),
        NotRecovered(Position("e", 1), Position("f", 2)),
        Gap(1, 2),
        Unknown("dance\x1b", None, None, None),
    ]
    told = [transcript.line(event) for event in events]
    assert all(line is not None and line.is_note for line in told)
    assert [line.text for line in told if line is not None] == [
        "* no connection (refused); trying again in 0.5 s",
        "* you are Ana in “Evening”; 1 here: Ana",
        "* the connection was lost (no reason given); trying again now",
        "* connected again",
        "* nothing was missed",
        "* 1 missed event follows",
        "* some events may be missing here",
        "* events 1 to 2 could not be delivered",
        "* something this client does not know: dance\ufffd",
    ]
    assert transcript.line(UserTyping("", User(None, "Ben"))) is None
    assert transcript.line(PresenceChanged("", 7)) == Line("* 7 here")
    assert transcript.line(SpiritThinking("")) == Line("* the spirit is thinking …")


@pytest.mark.parametrize(
    ("target", "url", "place"),
    [
        (ID, None, (None, ID)),
        (ID, "http://one", ("http://one", ID)),
        (None, "http://one", ("http://one", None)),
        (f"ws://one:1/ws/{ID}", None, ("http://one:1", ID)),
        (f"https://one/chat#{ID}", None, ("https://one", ID)),
        ("http://one", None, ("http://one", None)),
    ],
)
def test_where_to(target: str | None, url: str | None, place: tuple[str | None, str | None]) -> None:
    """A session is named by its id, or by a URL that holds it anywhere."""
    assert _place(target, url) == place
