"""Events in words, safe for a terminal: a text of another user can't move the cursor or hide text."""

import msgspec
from seance_client import (
    Connected,
    Disconnected,
    ErrorReceived,
    Event,
    Gap,
    MessageReceived,
    NotRecovered,
    PresenceChanged,
    Recovered,
    SessionClosed,
    SpiritThinking,
    Unknown,
    UserJoined,
    UserLeft,
    Welcome,
)

# These two join the characters of an emoji.
_JOINERS = frozenset("\u200c\u200d")
_SHOWN_NAMES = 20
_REASONS = {"left": "left", "lost": "is gone (connection lost)", "removed": "was removed by the host"}


class Line(msgspec.Struct, frozen=True):
    """A line to show; a note is about the connection, other lines are about the session."""

    text: str
    is_note: bool = False


def plain(text: str) -> str:
    """The text on one line, with control characters and direction overrides made visible."""
    lines = text.replace("\r\n", "\n").replace("\n", " ⏎ ")
    return "".join(each if each.isprintable() or each in _JOINERS else "\ufffd" for each in lines)


class Transcript:
    """Turns events into lines; remembers whether there was a connection before."""

    def __init__(self) -> None:
        self._was_connected = False

    def line(self, event: Event) -> Line | None:  # noqa: C901, PLR0911, PLR0912 - one line for each event
        """The line for an event, None when the event needs no line."""
        match event:
            case MessageReceived(user_name=name, text=text):
                return Line(f"{plain(name)}: {plain(text)}")
            case UserJoined(user=user, user_count=count):
                return Line(f"* {plain(user.name)} joined; {count} here")
            case UserLeft(user=user, user_count=count, reason=reason):
                return Line(f"* {plain(user.name)} {_REASONS.get(reason, 'left')}; {count} here")
            case SessionClosed():
                return Line("* the session is closed")
            case SpiritThinking():
                return Line("* the spirit is thinking …")
            case PresenceChanged(user_count=count):
                return Line(f"* {count} here")
            case Gap(first, last):
                return Line(f"* events {first} to {last} could not be delivered", is_note=True)
            case Unknown(kind):
                return Line(f"* something this client does not know: {plain(kind)}", is_note=True)
            case Connected(welcome):
                return self._connected(welcome)
            case Recovered(missed=0):
                return Line("* nothing was missed", is_note=True)
            case Recovered(missed=None, missed_at_least=count):
                return Line(f"* {count} missed events or more follow", is_note=True)
            case Recovered(missed=missed):
                return Line(f"* {missed} missed {'event follows' if missed == 1 else 'events follow'}", is_note=True)
            case NotRecovered():
                return Line("* some events may be missing here", is_note=True)
            case ErrorReceived("rate_limited", message):
                return Line(f"* that was too much at once ({plain(message)})", is_note=True)
            case Disconnected(_, reason, will_retry=True, retry_seconds=seconds):
                soon = "now" if seconds < 0.1 else f"in {seconds:.1f} s"  # noqa: PLR2004 - too short to be named
                what = "the connection was lost" if self._was_connected else "no connection"
                return Line(f"* {what} ({plain(reason) or 'no reason given'}); trying again {soon}", is_note=True)
            case _:
                return None

    def _connected(self, welcome: Welcome) -> Line:
        if self._was_connected:
            return Line("* connected again", is_note=True)
        self._was_connected = True
        names = [plain(user.name) for user in welcome.users[:_SHOWN_NAMES]]
        names += ["…"] if len(welcome.users) > _SHOWN_NAMES else []
        here = f"{welcome.user_count} here" + (f": {', '.join(names)}" if names else "")
        return Line(f"* you are {plain(welcome.you.name)} in “{plain(welcome.session.name)}”; {here}", is_note=True)
