"""Two users on two gateways of one session, a message each way every 50 ms, in a process of its own.

Beside them a new user comes every half second, to the one gateway and to the other in turn.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from itertools import count
from multiprocessing.connection import Connection
from typing import Any, Final

import msgspec
import uvloop

from tests.attack.line import LEAVE, Line, OverError
from tests.attack.record import Record, Send
from tests.chaos.wire import Wire

SOURCE: Final = "127.0.1.1"
"""The witness has an address that no attacker has: limits by address must not tell the two apart by luck."""
_INTERVAL_SECONDS: Final = 0.05
_LAST_ANSWERS_SECONDS: Final = 2.0
_RETURN_SECONDS: Final = 0.2
_NEWCOMER_SECONDS: Final = 0.5
_JOIN_SECONDS: Final = 30.0
# The witness must be on time although attacker and gateways keep both cores busy; only root may ask for that.
_PRIORITY: Final = -10
_ENCODE: Final = msgspec.json.encode


class Order(msgspec.Struct, frozen=True):
    """Which session, on which gateways."""

    session_id: str
    ports: tuple[int, int]
    other_session_id: str
    """Where newcomers join and leave."""


class _Event(msgspec.Struct, frozen=True):
    type: str
    data: dict[str, Any]
    id: int | None = None


_DECODE: Final = msgspec.json.Decoder(_Event).decode


class _User:
    """One of the two; comes back with its token when its connection ends."""

    def __init__(self, name: str, port: int, session_id: str, record: Record) -> None:
        self.name = name
        self.sends: dict[int, Send] = {}
        self.other: _User | None = None
        self.is_joined = asyncio.Event()
        self.is_stopped = False
        self._port = port
        self._path = f"/ws/{session_id}"
        self._record = record
        self._token: str | None = None
        self._wire: Wire | None = None
        self._over: asyncio.Future[None] | None = None

    async def stay(self) -> None:
        """Be connected until cancelled."""
        while True:
            was_in = await self._visit()
            if not was_in and self._token is not None:
                self._record.refused.append(time.monotonic())
            await asyncio.sleep(_RETURN_SECONDS)

    async def talk(self) -> None:
        """Send a message every 50 ms until cancelled, whatever became of those before."""
        loop, number = asyncio.get_running_loop(), 0
        due = loop.time()
        while True:
            if self._wire is not None and self.is_joined.is_set():
                number += 1
                message = {"type": "message", "id": number, "text": f"{self.name} {number}"}
                send = self.sends[number] = Send(time.monotonic())
                self._record.sends.append(send)
                self._wire.say(_ENCODE(message))
            due += _INTERVAL_SECONDS
            await asyncio.sleep(due - loop.time())

    async def _visit(self) -> bool:
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        wire = Wire(self, self._path, wants_batches=False)
        try:
            async with asyncio.timeout(_JOIN_SECONDS):
                await loop.create_connection(lambda: wire, "127.0.0.1", self._port, local_addr=(SOURCE, 0))
        except (OSError, TimeoutError):
            return False
        self._wire = wire
        await self._over
        was_in = self.is_joined.is_set()
        self.is_joined.clear()
        self._wire = None
        return was_in

    # Wire

    def opened(self, wire: Wire) -> None:
        """Wire: join."""
        wire.say(_ENCODE({"type": "join", "name": self.name, "token": self._token}))

    def said(self, wire: Wire, payload: bytes) -> None:
        """Wire: an event came."""
        del wire
        now = time.monotonic()
        event = _DECODE(payload)
        match event.type:
            case "message_received":
                sender, _, number = event.data["text"].partition(" ")
                if self.other is not None and sender == self.other.name:
                    self.other.sends[int(number)].received_at = now
            case "ack" if event.id is not None:
                self.sends[event.id].acked_at = now
            case "error":
                self._record.errors.append((now, event.data["code"]))
            case "welcome":
                self._token = event.data["token"]
                self.is_joined.set()

    def ended(self, wire: Wire, code: int) -> None:
        """Wire: the connection is over."""
        del wire
        if self.is_joined.is_set() and not self.is_stopped:
            self._record.closes.append((time.monotonic(), code))
        if self._over is not None and not self._over.done():
            self._over.set_result(None)


async def _let_in(order: Order, record: Record) -> None:
    """New users come and go, until cancelled."""
    for number in count():
        begun = time.monotonic()
        try:
            await _visit(order, record, number, begun)
        except OverError as over:
            record.turned_away.append((begun, over.what))
        await asyncio.sleep(_NEWCOMER_SECONDS)


async def _visit(order: Order, record: Record, number: int, begun: float) -> None:
    """One new user. Raises OverError."""
    line = Line(Counter())
    await line.upgrade(order.ports[number % 2], SOURCE, order.other_session_id)
    try:
        await line.join(name=f"newcomer {number}")
        record.newcomers.append((begun, time.monotonic() - begun))
        line.say(LEAVE)
        await line.closed(1000)
    finally:
        line.cut()


async def _watch(control: Connection, order: Order) -> Record:
    """Talk until the runner asks for the record."""
    record = Record()
    users = [
        _User(name, port, order.session_id, record) for name, port in zip(("Ana", "Ben"), order.ports, strict=True)
    ]
    users[0].other, users[1].other = users[1], users[0]
    loop = asyncio.get_running_loop()
    is_asked = asyncio.Event()
    loop.add_reader(control.fileno(), is_asked.set)
    stays = [asyncio.create_task(user.stay()) for user in users]
    for user in users:
        await user.is_joined.wait()
    control.send(None)
    works = (*(user.talk() for user in users), _let_in(order, record))
    talks = [asyncio.create_task(work) for work in works]
    await is_asked.wait()
    loop.remove_reader(control.fileno())
    await _ended(talks)
    await asyncio.sleep(_LAST_ANSWERS_SECONDS if _is_waiting(record) else 0.0)
    record.ended_at = time.monotonic()
    for user in users:
        user.is_stopped = True
    await _ended(stays)
    return record


def _is_waiting(record: Record) -> bool:
    return any(not (one.received_at and one.acked_at) for one in record.sends)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main(control: Connection, order: Order) -> None:
    """The process, from start to end: says None once both have joined, and its record when anything is sent to it."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        control.send(runner.run(_watch(control, order)))
    control.close()
