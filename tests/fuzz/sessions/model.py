"""What must be true of a session, whatever its clients do. Pure: the player tells what was said and what was heard.

The model knows who has a seat and which events must come. Each event of the session gets one place (`seq`) with one
content, the same for every client; each explains exactly one thing that a client or a server did.
"""

from collections import deque
from dataclasses import dataclass, field

import msgspec

from tests.fuzz.sessions.plan import Said


class BrokenError(AssertionError):
    """Something does not hold; the message says what."""


class Event(msgspec.Struct, frozen=True):
    """Any object of a gateway."""

    type: str
    data: dict[str, object]
    id: int | str | None = None
    seq: int = 0


_DECODE = msgspec.json.Decoder(Event).decode


def decoded(payload: bytes) -> Event:
    """An event. Raises BrokenError for anything else."""
    try:
        return _DECODE(payload)
    except msgspec.DecodeError as error:
        raise BrokenError(f"no event: {payload!r}") from error


@dataclass
class Expected:
    """An answer that a client waits for."""

    answer: str
    id: int | str | None
    code: str = ""
    text: str = ""
    level: str = ""


@dataclass
class Voice:
    """Everything that one user has said and that is not yet an event."""

    certain: deque[str] = field(default_factory=deque)
    """Texts that must become events, in this order."""
    possible: list[str] = field(default_factory=list)
    """Texts of which nobody can know: their connection ended before an answer."""
    keys: dict[str, str] = field(default_factory=dict)
    """The text that each key stands for."""


class Model:
    """One session."""

    def __init__(self) -> None:
        self.seated: dict[str, str] = {}
        """Names by user id."""
        self.joining: set[str] = set()
        """Names whose `user_joined` must come."""
        self.leaving: dict[str, str] = {}
        """Reasons by the user ids whose `user_left` must come."""
        self.is_closed = False
        """The session is closed: `session_closed` may come."""
        self._voices: dict[str, Voice] = {}
        self._events: dict[int, bytes] = {}
        self._explained = 0
        self.texts: dict[int, str] = {}
        """Of messages, by seq."""

    def voice(self, user_id: str) -> Voice:
        """That of a user, by its id, or of a server, by its name."""
        return self._voices.setdefault(user_id, Voice())

    # Said

    def say(self, user_id: str, said: Said) -> Expected:
        """A client that stays says this; returns the answer that it must get."""
        expected = Expected(said.answer, said.id, said.code)
        if said.answer == "ack":
            voice = self.voice(user_id)
            expected.level = "persisted" if said.is_persisted else "accepted"
            expected.text = said.text
            if said.key is not None and said.key in voice.keys:
                expected.text = voice.keys[said.key]
                return expected
            if said.key is not None:
                voice.keys[said.key] = said.text
            voice.certain.append(said.text)
        return expected

    def withdraw(self, user_id: str, text: str) -> None:
        """The gateway refused this message."""
        certain = self.voice(user_id).certain
        certain.reverse()
        certain.remove(text)
        certain.reverse()

    def say_and_go(self, user_id: str, said: Said) -> None:
        """A client says this and does not wait for an answer."""
        if said.answer == "ack":
            self.voice(user_id).possible.append(said.text)

    # Heard

    def hear(self, event: Event, payload: bytes) -> None:
        """A client got this sequenced event. Raises BrokenError."""
        known = self._events.setdefault(event.seq, payload)
        if known != payload:
            raise BrokenError(f"seq {event.seq} is {known!r} for one client, and {payload!r} for another")
        while (after := self._explained + 1) in self._events:
            self._explained = after
            self._explain(decoded(self._events[after]))

    def text_at(self, seq: int) -> str | None:
        """The text of the message with this seq, if its event has come."""
        return self.texts.get(seq)

    @property
    def last_seq(self) -> int:
        """The newest event without a hole before it."""
        return self._explained

    def begin_at(self, seq: int) -> None:
        """The first client has joined: what was before is no concern of the model."""
        self._explained = max(self._explained, seq)

    def is_settled(self) -> bool:
        """Whether everything that must come has come."""
        is_silent = not any(voice.certain for voice in self._voices.values())
        return is_silent and not self.joining and not self.leaving

    def missing(self) -> str:
        """What must still come, in words."""
        texts = [text for voice in self._voices.values() for text in voice.certain]
        return f"messages {texts}, joins {sorted(self.joining)}, leaves {self.leaving}"

    def _explain(self, event: Event) -> None:
        match event.type:
            case "message_received":
                self._explain_message(event)
            case "user_joined":
                user = event.data["user"]
                assert isinstance(user, dict)
                if user["name"] not in self.joining:
                    raise BrokenError(f"nobody joined as in {event}")
                self.joining.remove(user["name"])
            case "user_left":
                user = event.data["user"]
                assert isinstance(user, dict)
                if self.leaving.pop(user["id"], None) != event.data["reason"]:
                    raise BrokenError(f"nobody left as in {event}")
            case "session_closed" if self.is_closed:
                pass
            case _:
                raise BrokenError(f"an event that nothing explains: {event}")

    def _explain_message(self, event: Event) -> None:
        user_id, text = event.data["user_id"], event.data["text"]
        assert isinstance(text, str)
        self.texts[event.seq] = text
        voice = self.voice(str(event.data["user_name"] if user_id is None else user_id))
        if voice.certain and voice.certain[0] == text:
            voice.certain.popleft()
        elif text in voice.possible:
            voice.possible.remove(text)
        else:
            raise BrokenError(f"nobody said, or not in this order: {event}; next are {list(voice.certain)[:3]}")
