"""A client of the chaos suite: comes, talks, is thrown out, comes back with its token; the ledger sees all of it.

It is written against docs/protocol.md alone, and knows nothing of the clients that we ship.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec

from tests.chaos.ledger import (
    Acked,
    Came,
    CaughtUp,
    Ended,
    Gone,
    Heard,
    Ledger,
    Opened,
    Refused,
    Sent,
    Skipped,
    UserCame,
    UserLeft,
)
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


class Habits(msgspec.Struct, frozen=True):
    """How the clients of a scenario behave; all times in seconds.

    patience: silence after which a connection counts as dead. ping: silence after which it is asked for a sign of
    life. level: the acknowledgement that is asked for.
    """

    patience: float = 4.0
    ping: float = 1.5
    level: str = "accepted"


class Visitor:
    """One client. `doors` are the gateways' ports, asked for anew each time; it tries one after the other."""

    def __init__(
        self,
        number: int,
        session: str,
        *,
        ledger: Ledger,
        random: Random,
        doors: Callable[[], Sequence[int]],
        habits: Habits,
        on_hole: Callable[["Visitor"], None],
    ) -> None:
        self.number = number
        self.session = session
        self.user = ""
        self.epoch = ""
        self.seq = 0
        self.users: set[str] = set()
        self.has: set[str] = set()
        self.unacked: dict[str, None] = {}
        self.acked: set[str] = set()
        self.hole_from: int | None = None  # what came after this seq has to be fetched over REST
        self.is_in = False
        self.is_gone = False
        self.stays_away = False  # its next end is its last
        self.offline_seconds = 0.0
        self.least_present = 0
        self.code = 0
        self.door = 0  # the port of its connection
        self._ledger = ledger
        self._random = random
        self._doors = doors
        self._door = number
        self._habits = habits
        self._on_hole = on_hole
        self._wire: Wire | None = None
        self._over: asyncio.Future[None] | None = None
        self._connection = 0
        self._token: str | None = None
        self._missed = 0
        self._delay = 0.0
        self._away_since: float | None = None
        self._pinged_at = 0.0

    # What a scenario lets it do

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

    def leave(self) -> None:
        """Leave for good, as one should."""
        assert self._wire is not None
        self._end_for_good()
        self._wire.say(b'{"type":"leave"}')

    def vanish(self) -> None:
        """Be gone without a word."""
        self._end_for_good()
        if self._wire is not None:
            self._wire.cut()

    def look(self, now: float) -> None:
        """Called now and then: give up a connection that is silent, ask one that may be."""
        wire = self._wire
        if wire is None:
            return
        silent = now - wire.heard_at
        if silent > self._habits.patience:
            wire.cut()
        elif self.is_in and silent > self._habits.ping and now - self._pinged_at > self._habits.ping:
            self._pinged_at = now
            wire.say(b'{"type":"ping","id":0}')

    # One connection

    async def _visit(self) -> None:
        loop = asyncio.get_running_loop()
        doors = self._doors()
        port = doors[self._door % len(doors)]
        self._over = loop.create_future()
        if self.offline_seconds:
            self._away_since = loop.time()
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
        loop = asyncio.get_running_loop()
        if self.is_in:
            quiet = round(loop.time() - wire.heard_at, 3)
            self._ledger.add(Ended(self._ledger.now(), self.number, self._connection, code, quiet))
        if self._away_since is None:
            self._away_since = loop.time()
        was_in, self.is_in, self.code = self.is_in, False, code
        if self.stays_away and not self.is_gone:
            self._end_for_good()
        elif self.offline_seconds:
            self._delay = self.offline_seconds
        elif code == _RESTART and self._delay:
            pass  # as long as the gateway said
        elif was_in and code != _RESTART:
            self._delay = self._random.uniform(0, _LEAST_DELAY)
            self._door += 1
        else:
            self._go_elsewhere()
        if code >= _STOP and not self.is_gone:
            self._ledger.add(Refused(self._ledger.now(), self.number, "", str(code), final=True))
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
        match frame.type:
            case "message_received":
                self._heard(frame)
            case "user_joined" | "user_left":
                self._moved(frame)
            case "ack":
                self._acked(frame)
            case "error" if isinstance(frame.id, str):
                self._refused(frame.id, frame.data)
            case "welcome":
                self._welcomed(frame.data)
            case "gap":
                self._skipped(frame.data["from"], frame.data["to"])
            case "reconnect":
                self._away_since = asyncio.get_running_loop().time()
                self._delay = max(frame.data["after_ms"] / 1000, 0.001)
            case "presence_changed":
                self.least_present = min(self.least_present, frame.data["user_count"])
            case _:
                pass  # pong, spirit_thinking, user_typing, persisted

    # What came

    def _welcomed(self, data: dict[str, Any]) -> None:
        now = self._ledger.now()
        resumed, asked = data["resumed"], self._token is not None
        self._connection += 1
        self.user, self._token = data["you"]["id"], data["token"]
        if self._connection == 1:
            self._ledger.add(Came(now, self.number, self.session, self.user))
            self.least_present = 1_000_000
        is_recovered, missed = resumed["recovered"], resumed["missed"]
        opened = Opened(
            now,
            self.number,
            self._connection,
            data["epoch"],
            data["seq"],
            asked,
            is_recovered,
            resumed["source"],
            missed,
        )
        self._ledger.add(opened)
        if asked and not is_recovered:
            self._has_hole(self.seq)
        self.epoch, self.seq = data["epoch"], data["seq"]
        self.users = {user["id"] for user in data["users"]}
        self.is_in, self._delay = True, 0.0
        self._missed = missed if is_recovered else 0
        if self._away_since is not None and not self._missed and self.hole_from is None:
            self.caught_up()
        for key in self.unacked:
            self._send(key)

    def caught_up(self) -> None:
        """It has everything that it missed."""
        if self._away_since is not None:
            seconds = asyncio.get_running_loop().time() - self._away_since
            if self._connection > 1:
                self._ledger.add(CaughtUp(self._ledger.now(), self.number, self._connection, round(seconds, 4)))
            self._away_since = None

    def _moved_on(self, seq: int) -> None:
        self.seq = seq
        if self._missed:
            self._missed -= 1
            if not self._missed:
                self.caught_up()

    def _heard(self, frame: Frame) -> None:
        message_id = frame.data["id"]
        self.has.add(message_id)
        now = round(self._ledger.now(), 3)
        self._ledger.add(Heard(now, self.number, self._connection, frame.seq, message_id, frame.data["text"]))
        self._moved_on(frame.seq)

    def _moved(self, frame: Frame) -> None:
        user, now = frame.data["user"]["id"], round(self._ledger.now(), 3)
        if frame.type == "user_joined":
            self.users.add(user)
            self._ledger.add(UserCame(now, self.number, self._connection, frame.seq, user))
        else:
            self.users.discard(user)
            reason = frame.data["reason"]
            self._ledger.add(UserLeft(now, self.number, self._connection, frame.seq, user, reason))
        self._moved_on(frame.seq)

    def _skipped(self, first: int, last: int) -> None:
        self._ledger.add(Skipped(self._ledger.now(), self.number, self._connection, first, last))
        self._has_hole(first - 1)

    def _has_hole(self, after: int) -> None:
        self.hole_from = after if self.hole_from is None else min(self.hole_from, after)
        self._on_hole(self)

    def _acked(self, frame: Frame) -> None:
        key, data = str(frame.id), frame.data
        self.unacked.pop(key, None)
        self.acked.add(key)
        acked = Acked(self._ledger.now(), self.number, key, data["seq"], data["message_id"], data["level"])
        self._ledger.add(acked)

    def _refused(self, key: str, data: dict[str, Any]) -> None:
        is_final = not data["retryable"]
        self._ledger.add(Refused(self._ledger.now(), self.number, key, data["code"], is_final))
        if is_final:
            self.unacked.pop(key, None)
            return
        seconds = max(data.get("retry_after_ms", 0) / 1000, 0.2) * self._random.uniform(1, 2)
        asyncio.get_running_loop().call_later(seconds, self._send_again, key)

    def _send_again(self, key: str) -> None:
        if self.is_in and key in self.unacked:
            self._send(key)

    def _send(self, key: str) -> None:
        assert self._wire is not None
        self._ledger.add(Sent(self._ledger.now(), self.number, key))
        message = {"type": "message", "id": key, "key": key, "text": key, "ack": self._habits.level}
        self._wire.say(_ENCODER.encode(message))

    def _go_elsewhere(self) -> None:
        """That gateway does not let it in: try the next one, and be more patient each time."""
        self._door += 1
        longest = min(max(2 * self._delay, _LEAST_DELAY), _MOST_DELAY)
        self._delay = self._random.uniform(longest / 2, longest)

    def _end_for_good(self) -> None:
        self.is_gone = True
        self._ledger.add(Gone(self._ledger.now(), self.number))
