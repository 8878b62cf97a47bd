"""Events in words, safe for a terminal."""

from hypothesis import given
from hypothesis import strategies as st
from seance_client import (
    Connected,
    Disconnected,
    ErrorReceived,
    Event,
    Gap,
    NotRecovered,
    Position,
    PresenceChanged,
    Recovered,
    SessionInfo,
    SpiritThinking,
    TokenExpiring,
    TokenRenewed,
    Unknown,
    User,
    UserTyping,
    Welcome,
)

from cluster.chat.transcript import Line, Transcript, plain

WELCOME = Welcome(SessionInfo("s", "Evening"), User("u", "Ana"), 1, "e", "t", (User("u", "Ana"),), 1)


@given(st.text())
def test_a_text_of_others_can_not_control_the_terminal(text: str) -> None:
    """No text of another user can move the cursor, or turn the direction of the text that follows."""
    assert all(character.isprintable() or character in "\u200c\u200d" for character in plain(text))


def test_events_of_the_connection_are_told_in_words() -> None:
    """Each event about the connection has its words, and events that need no notice have none."""
    transcript = Transcript()
    lost = Disconnected(1006, "refused", will_retry=True, retry_seconds=0.5)
    events: list[Event] = [
        lost,
        ErrorReceived("rate_limited", "more than 20 joins a second", 3.0),
        Connected(WELCOME),
        Disconnected(4003, "", will_retry=True),
        Connected(WELCOME),
        Recovered("log", 0),
        Recovered("log", 1),
        Recovered("history", None, 10_001),
        NotRecovered(Position("e", 1), Position("f", 2)),
        Gap(1, 2),
        Unknown("dance\x1b", None, None, None),
    ]
    told = [transcript.line(event) for event in events]
    assert all(line is not None and line.is_note for line in told)
    assert [line.text for line in told if line is not None] == [
        "* no connection (refused); trying again in 0.5 s",
        "* that was too much at once (more than 20 joins a second)",
        "* you are Ana in “Evening”; 1 here: Ana",
        "* the connection was lost (no reason given); trying again now",
        "* connected again",
        "* nothing was missed",
        "* 1 missed event follows",
        "* 10001 missed events or more follow",
        "* some events may be missing here",
        "* events 1 to 2 could not be delivered",
        "* something this client does not know: dance\ufffd",
    ]
    assert transcript.line(TokenExpiring(60)) is None
    assert transcript.line(TokenRenewed("t2", 3600)) is None
    assert transcript.line(UserTyping("", User(None, "Ben"))) is None
    assert transcript.line(PresenceChanged("", 7)) == Line("* 7 here")
    assert transcript.line(SpiritThinking("")) == Line("* the spirit is thinking …")
