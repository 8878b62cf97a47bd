"""A person with a client of its own, written against docs/protocol.md alone; thousands of them fit into one process."""

import asyncio
from random import Random
from typing import Any, Final

import msgspec

from tests.chaos.person import Person, Surroundings
from tests.chaos.wire import Wire

DIAL_SECONDS: Final = 3.0
_RESTART, _STOP = 1012, 4500
_LEAST_DELAY, _MOST_DELAY = 0.1, 1.0


class Frame(msgspec.Struct, frozen=True):
    """Any object of the server."""

    type: str
    data: dict[str, Any]
    seq: int = 0
    id: int | str | None = None


_DECODER: Final = msgspec.json.Decoder(Frame | list[Frame])
_ENCODER: Final = msgspec.json.Encoder()


class Visitor(Person):
    """Comes, talks, is thrown out, tries one gateway after the other, comes back with its token."""

    def __init__(self, number: int, session: str, around: Surroundings, random: Random) -> None:
        super().__init__(number, session, around, random)
        self._door = number
        self._wire: Wire | None = None
        self._over: asyncio.Future[None] | None = None
        self._token: str | None = None
        self._delay = 0.0
        self._pinged_at = 0.0

    async def run(self) -> None:
        """Be there until it is gone."""
        while not self.is_gone:
            await self._visit()
            if not self.is_gone:
                await asyncio.sleep(self._delay)

    def say(self, key: str) -> None:
        """Send a message; again and again, until it is acknowledged."""
        self.unacked[key] = None
        if self.is_in:
            self._send(key)

    def cut(self, offline_seconds: float = 0.0) -> None:
        """The connection breaks; it comes back after so long."""
        self.offline_seconds = offline_seconds
        if self._wire is not None:
            self._wire.cut()

    def look(self, now: float) -> None:
        """Called now and then: give up a connection that is silent, ask one that may be."""
        wire, habits = self._wire, self.around.habits
        if wire is None:
            return
        silent = now - wire.heard_at
        if silent > habits.patience:
            wire.cut()
        elif self.is_in and silent > habits.ping and now - self._pinged_at > habits.ping:
            self._pinged_at = now
            wire.say(b'{"type":"ping","id":0}')

    # One connection

    async def _visit(self) -> None:
        loop = asyncio.get_running_loop()
        doors = self.around.doors()
        port = doors[self._door % len(doors)]
        self._over = loop.create_future()
        if self.offline_seconds:
            self.away_since = loop.time()
            self.offline_seconds = 0.0
        wire = Wire(self, f"/ws/{self.session}", wants_batches=self.number % 2 == 1)
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await loop.create_connection(lambda: wire, "127.0.0.1", port)
        except (OSError, TimeoutError):
            self._go_elsewhere()
            return
        self._wire, self.door = wire, port
        await self._over
        self._wire = None

    def opened(self, wire: Wire) -> None:
        """Wire: join."""
        join: dict[str, Any] = {"type": "join", "name": f"user {self.number}", "token": self._token}
        if self._token is not None:
            join["resume"] = {"epoch": self.epoch, "seq": self.seq}
        wire.say(_ENCODER.encode(join))

    def ended(self, wire: Wire, code: int) -> None:
        """Wire: it is over."""
        now = asyncio.get_running_loop().time()
        if self.away_since is None:
            self.away_since = now
        was_in = self.is_in
        if was_in:
            self.lost_connection(code, now - wire.heard_at)
        if self.stays_away and not self.is_gone:
            self.end_for_good()
        elif self.offline_seconds:
            self._delay = self.offline_seconds
        elif code == _RESTART and self._delay:
            pass  # as long as the gateway said
        elif was_in and code != _RESTART:
            self._delay = self.random.uniform(0, _LEAST_DELAY)
            self._door += 1
        else:
            self._go_elsewhere()
        if code >= _STOP and not self.is_gone:
            self.refused("", str(code), is_final=True)
            self.is_gone = True
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def said(self, wire: Wire, payload: bytes) -> None:
        """Wire: a text came."""
        del wire
        decoded = _DECODER.decode(payload)
        for frame in decoded if isinstance(decoded, list) else (decoded,):
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        data = frame.data
        match frame.type:
            case "message_received":
                self.heard(frame.seq, data["id"], data["text"])
            case "user_joined":
                self.came(frame.seq, data["user"]["id"])
            case "user_left":
                self.left(frame.seq, data["user"]["id"], data["reason"])
            case "ack":
                self.answered(str(frame.id), data["seq"], data["message_id"], data["level"])
            case "error" if isinstance(frame.id, str):
                self._told_no(frame.id, data)
            case "welcome":
                self._let_in(data)
            case "gap":
                self.skipped(data["from"], data["to"])
            case "reconnect":
                self.away_since = asyncio.get_running_loop().time()
                self._delay = max(data["after_ms"] / 1000, 0.001)
            case "presence_changed":
                self.counted(data["user_count"])
            case _:
                pass  # pong, spirit_thinking, user_typing, persisted

    def _let_in(self, data: dict[str, Any]) -> None:
        resumed, users = data["resumed"], {user["id"] for user in data["users"]}
        self._token, self._delay = data["token"], 0.0
        self.welcomed(data["you"]["id"], data["epoch"], data["seq"], users, **resumed)
        for key in self.unacked:
            self._send(key)

    def _told_no(self, key: str, data: dict[str, Any]) -> None:
        self.refused(key, data["code"], is_final=not data["retryable"])
        if data["retryable"]:
            seconds = max(data.get("retry_after_ms", 0) / 1000, 0.2) * self.random.uniform(1, 2)
            asyncio.get_running_loop().call_later(seconds, self._send_again, key)

    def _send_again(self, key: str) -> None:
        if self.is_in and key in self.unacked:
            self._send(key)

    def _send(self, key: str) -> None:
        assert self._wire is not None
        self.sent(key)
        message = {"type": "message", "id": key, "key": key, "text": key, "ack": self.around.habits.level}
        self._wire.say(_ENCODER.encode(message))

    def _go_elsewhere(self) -> None:
        """That gateway does not let it in: try the next one, and be more patient each time."""
        self._door += 1
        longest = min(max(2 * self._delay, _LEAST_DELAY), _MOST_DELAY)
        self._delay = self.random.uniform(longest / 2, longest)
