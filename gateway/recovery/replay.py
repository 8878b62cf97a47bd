"""Brings clients that lack events up to the live ones, as fast as they read: who came back, and who read too slowly."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Protocol

from broker.errors import BrokerUnavailableError
from gateway.counters import Counters
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.protocol.frames import text_frame
from gateway.recovery.cursor import Cursor, OutrunError
from gateway.recovery.reader import Plan, RecoveryReader, cursor_after
from gateway.rooms.hub import Hub
from gateway.rooms.join_buffer import ended_by
from gateway.rooms.outbox import Member
from gateway.rooms.room import Room
from gateway.tasks import Tasks
from persistence.errors import DatabaseUnavailableError


class StoppedError(Exception):
    """The connection has ended."""


class TooSlowError(Exception):
    """The client has not read what waits for it in the time it had."""


_ENDINGS: dict[type[Exception], Ending] = {
    OutrunError: close_codes.RESYNC,
    TooSlowError: close_codes.SLOW_CONSUMER,
    BrokerUnavailableError: close_codes.UNAVAILABLE,
    DatabaseUnavailableError: close_codes.UNAVAILABLE,
}


class Reader(Member, Protocol):
    """The connection of a client that is brought up to date."""

    def caught_up(self) -> None:
        """It gets the live events now."""


class Replays:
    """What the replays of one gateway share.

    `patience_seconds` is how long a client may take to read what fills its buffer.
    """

    def __init__(
        self,
        reader: RecoveryReader,
        hub: Hub,
        tasks: Tasks,
        counters: Counters,
        *,
        max_buffer_bytes: int,
        patience_seconds: int,
    ) -> None:
        self.reader = reader
        self.hub = hub
        self.tasks = tasks
        self.counters = counters
        self.max_buffer_bytes = max_buffer_bytes
        self.patience_seconds = patience_seconds


class Replay:
    """One client that lacks events, from its welcome (or the overflow of its buffer) until it gets the live ones.

    The connection tells it how its buffer is, and when it has ended. It is found among the room's users meanwhile.
    """

    __slots__ = (
        "_cursor",
        "_is_over",
        "_is_resync",
        "_limit_bytes",
        "_reader",
        "_replays",
        "_room",
        "_transport",
        "_writable",
    )

    def __init__(self, replays: Replays, reader: Reader, room: Room, transport: asyncio.Transport) -> None:
        self._replays = replays
        self._reader = reader
        self._room = room
        self._transport = transport
        self._cursor: Cursor
        self._writable = asyncio.Event()
        self._writable.set()
        self._limit_bytes = 0
        self._is_resync = False
        self._is_over = False

    # How it begins

    def begin(self, plan: Plan, until: int) -> None:
        """The welcome was written, with the plan's events: go on, at least to `until`; now, if nothing lies between."""
        self._cursor = plan.cursor
        self._allow_answers()
        self._replays.counters.replays += plan.resumed.missed > 0
        self._replays.counters.replayed_events += len(plan.events)
        if plan.cursor.seq < until or not self._is_attached():
            self._spawn()

    def fall_behind(self) -> None:
        """The client is sent no live events until it has read what waits for it."""
        self._is_resync = True
        self._writable.clear()
        self._replays.counters.slow_consumers += 1
        # Not in the middle of a delivery: what the client has got can be told only between two of them.
        asyncio.get_running_loop().call_soon(self._suspend)

    def _suspend(self) -> None:
        if not self._is_over:
            self._cursor = cursor_after(self._room.info, self._room.suspend(self._reader))
            self._allow_answers()
            self._spawn()

    def _spawn(self) -> None:
        self._replays.tasks.spawn(self._run(), f"replay {self._reader.id}")

    # What the connection tells

    def pause(self) -> None:
        """The buffer is full."""
        self._writable.clear()

    def resume(self) -> None:
        """The buffer is nearly empty again."""
        self._writable.set()

    def stop(self) -> None:
        """The connection has ended."""
        self._is_over = True
        self._writable.set()

    def answered(self) -> None:
        """The client was sent an answer, which is not held back: whoever asks on and on must read, too."""
        if self._limit_bytes and self._transport.get_write_buffer_size() > self._limit_bytes:
            self._reader.end(close_codes.SLOW_CONSUMER)

    def _allow_answers(self) -> None:
        self._limit_bytes = self._transport.get_write_buffer_size() + self._replays.max_buffer_bytes

    # How it goes on

    async def _run(self) -> None:
        try:
            await self._catch_up()
        except StoppedError:
            pass
        except tuple(_ENDINGS) as error:
            self._reader.end(_ENDINGS[type(error)])
        except Exception:
            self._reader.end(close_codes.INTERNAL)
            raise

    async def _catch_up(self) -> None:
        while self._cursor.has_more:
            await self._send_page()
        self._room.expect()  # what comes from here on is kept, so that it can be joined to the last page
        try:
            while not self._is_attached():
                await self._send_page()
        finally:
            self._replays.hub.left(self._room)

    async def _send_page(self) -> None:
        await self._drained()
        known_seq = self._room.order.last_seq or 0
        events = await self._replays.reader.next(self._room.info.id, self._cursor, known_seq)
        for data in _packed((event.body for event in events), self._replays.max_buffer_bytes):
            await self._drained()
            self._transport.write(data)
            self._allow_answers()
        self._replays.counters.replayed_events += len(events)
        ending = ended_by(events, self._reader.user_id)
        if ending is not None:
            self._reader.end(ending)

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(self._replays.patience_seconds):
                await self._writable.wait()
        except TimeoutError as exc:
            raise TooSlowError from exc
        self._check_open()

    def _check_open(self) -> None:
        if self._is_over:
            raise StoppedError

    def _is_attached(self) -> bool:
        """Whether the client gets the live events from here on; not while its buffer is full."""
        self._check_open()
        if not self._writable.is_set() or not self._room.attach(self._reader, self._cursor.seq):
            return False
        if not self._writable.is_set():  # what came meanwhile has filled it
            self._cursor.seq = self._room.suspend(self._reader)
            return False
        self._replays.counters.resyncs += self._is_resync
        self._reader.caught_up()
        return True


def _packed(bodies: Iterable[bytes], limit_bytes: int) -> Iterator[bytes]:
    """Frames of these events, as many in one piece as `limit_bytes` allows."""
    frames: list[bytes] = []
    size = 0
    for frame in map(text_frame, bodies):
        if size + len(frame) > limit_bytes and frames:
            yield b"".join(frames)
            frames, size = [], 0
        frames.append(frame)
        size += len(frame)
    if frames:
        yield b"".join(frames)
