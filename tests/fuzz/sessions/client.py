"""One client of a plan: its connection, the answers that it waits for, and the order of what it hears."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from tests.chaos.wire import Wire
from tests.fuzz.sessions.model import BrokenError, Event, Expected, Model, decoded
from tests.fuzz.sessions.plan import Said

_SEQUENCED: Final = frozenset({"message_received", "user_joined", "user_left", "session_closed"})
_ANSWERS: Final = frozenset({"ack", "pong", "error"})
_MALFORMED: Final = 30
_REPLACED: Final = 4508
_RETRYABLE_CLOSES: Final = range(4000, 4500)


class Client:
    """`on_change` is called after everything that it hears; what is wrong is kept in `problem`."""

    def __init__(self, name: str, model: Model, on_change: Callable[[], None], *, is_limited: bool = False) -> None:
        self.limited = 0
        """Messages that were refused because there were too many."""
        self._is_limited = is_limited
        self.name = name
        self.user_id = ""
        self.token: str | None = None
        self.epoch = ""
        self.seq = 0
        """The last event that it has seen."""
        self.is_joined = False
        self.is_going = False
        """It has said that it goes, and does not care about answers."""
        self.is_removed = False
        self.is_recovered = False
        self._malformed = 0
        self.code: int | None = None
        """With which the last connection ended; None while there is one."""
        self.expected: list[Expected] = []
        self.problem: Exception | None = None
        self.wire: Wire | None = None
        self._model = model
        self._on_change = on_change
        self._first: bytes = b""
        self._asked: Counter[tuple[int | str | None, str, str | None]] = Counter()
        self._acked: list[tuple[int | str | None, str, int]] = []
        self._error = ""
        self._replaced: list[Wire] = []

    @property
    def is_settled(self) -> bool:
        """Whether it has every answer and every event."""
        if self._replaced or (self.wire is not None and (not self.is_joined or self.is_going)):
            return False
        return self.wire is None or (not self.expected and self.seq >= self._model.last_seq)

    @property
    def is_connected(self) -> bool:
        """Whether it has joined and not gone."""
        return self.is_joined and self.wire is not None

    async def connect(self, port: int, session_id: str, first: bytes) -> None:
        """Connect and send these frames as soon as the connection is upgraded."""
        self._first, self.code, self._error = first, None, ""
        self.is_joined = self.is_going = False
        self._malformed = 0
        self.expected.clear()
        self._asked.clear()
        self._acked.clear()
        if self.wire is not None:
            self._replaced.append(self.wire)
        wire = self.wire = Wire(self, f"/ws/{session_id}", wants_batches=False)
        await asyncio.get_running_loop().create_connection(lambda: wire, "127.0.0.1", port)

    def allowed(self, said: Iterable[Said]) -> Iterator[Said]:
        """Leave out what would be one malformed frame in a row too many."""
        for each in said:
            if each.code == "malformed":
                if self._malformed == _MALFORMED:
                    continue
                self._malformed += 1
            elif each.answer in {"ack", "pong"}:
                self._malformed = 0
            yield each

    def expect(self, said: Said) -> None:
        """The client stays, and must get an answer to this, unless the contract says that there is none."""
        expected = self._model.say(self.user_id, said)
        if expected.answer != "none":
            self.expected.append(expected)
        if expected.answer == "ack":
            self._asked[expected.id, expected.level, expected.text] += 1

    def check(self) -> None:
        """Every ack named the seq of its message, and no error came unasked. Raises BrokenError."""
        acked = Counter((command_id, level, self._model.text_at(seq)) for command_id, level, seq in self._acked)
        if acked != +self._asked:
            raise BrokenError(f"{self.name}: too many acks {acked - self._asked}, too few {self._asked - acked}")
        if self.is_connected and self._error:
            raise BrokenError(f"{self.name} got an error {self._error} and no close")
        self._acked.clear()
        self._asked.clear()

    # Wire

    def opened(self, wire: Wire) -> None:
        """Wire: join."""
        wire.send(self._first)

    def said(self, wire: Wire, payload: bytes) -> None:
        """Wire: an object came."""
        if wire is not self.wire:
            return  # replaced by a newer one, which hears the same
        try:
            self._hear(decoded(payload), payload)
        except Exception as problem:  # noqa: BLE001 - the player raises it
            self.problem = self.problem or problem
        self._on_change()

    def ended(self, wire: Wire, code: int) -> None:
        """Wire: the connection is over."""
        if wire in self._replaced:
            self._replaced.remove(wire)
            if code != _REPLACED:
                self.problem = self.problem or BrokenError(f"{self.name}: the replaced connection ended with {code}")
        elif wire is self.wire:
            if code in _RETRYABLE_CLOSES or (code >= _RETRYABLE_CLOSES.stop and not self._error):
                self.problem = self.problem or BrokenError(f"{self.name}: close {code}, error event {self._error!r}")
            if self.is_joined and not self.is_going:
                self.problem = self.problem or BrokenError(f"{self.name} was closed with {code}, {self._error!r}")
            self.wire, self.code = None, code
        self._on_change()

    def _hear(self, event: Event, payload: bytes) -> None:
        if event.type == "welcome":
            self._welcome(event)
        elif event.type in _SEQUENCED:
            if event.seq != self.seq + 1:
                raise BrokenError(f"{self.name} has seq {self.seq}, and now got {event}")
            self.seq = event.seq
            self._model.hear(event, payload)
        elif event.type in _ANSWERS:
            if not self.is_going:
                self._answer(event)
            elif event.type == "error":
                self._error = str(event.data["code"])
        elif event.type not in {"user_typing", "persisted", "spirit_thinking"}:
            raise BrokenError(f"{self.name} got {event}")

    def _welcome(self, event: Event) -> None:
        data = msgspec.convert(event.data, _Welcome)
        if data.you.name != self.name:
            raise BrokenError(f"{self.name} is welcomed as {data.you.name}")
        if self.name not in {user.name for user in data.users} or len(data.users) != data.user_count:
            raise BrokenError(f"{self.name} is not in its own roster, or the count is wrong: {data}")
        self.user_id, self.token, self.epoch, self.seq = data.you.id, data.token, data.epoch, data.seq
        self.is_recovered = data.resumed.recovered
        self.is_joined = True
        self._model.seated[data.you.id] = self.name

    def _answer(self, event: Event) -> None:
        code = str(event.data.get("code", ""))
        if code == "rate_limited" and self._is_limited:
            self._withdraw(event)
            return
        for place, one in enumerate(self.expected):
            if one.answer != event.type or one.id != event.id or type(one.id) is not type(event.id):
                continue
            if event.type == "error" and one.code != code:
                continue
            if event.type == "ack" and one.level != event.data["level"]:
                continue
            del self.expected[place]
            if event.type == "ack":
                seq = event.data["seq"]
                assert isinstance(seq, int)
                self._acked.append((event.id, one.level, seq))
            return
        if event.type == "error" and not (self.is_joined and self.expected):
            self._error = code  # before a close
            return
        raise BrokenError(f"{self.name} did not ask for {event}; waits for {self.expected[:3]}")

    def _withdraw(self, event: Event) -> None:
        refused = next((one for one in self.expected if one.answer == "ack" and one.id == event.id), None)
        if refused is None or not event.data["retryable"] or "retry_after_ms" not in event.data:
            raise BrokenError(f"{self.name} did not ask for {event}; waits for {self.expected[:3]}")
        self.limited += 1
        self.expected.remove(refused)
        self._asked[refused.id, refused.level, refused.text] -= 1
        self._model.withdraw(self.user_id, refused.text)


class _User(msgspec.Struct):
    id: str
    name: str


class _Resumed(msgspec.Struct):
    recovered: bool


class _Welcome(msgspec.Struct):
    you: _User
    users: list[_User]
    user_count: int
    seq: int
    epoch: str
    token: str
    resumed: _Resumed
