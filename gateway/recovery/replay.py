"""Sends members the events that they lack, as fast as the client reads: after a resume, or after a full buffer."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from broker.errors import BrokerUnavailableError
from gateway.counters import Counters
from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending
from gateway.protocol.frames import text_frame
from gateway.recovery.cursor import Cursor, OutrunError
from gateway.recovery.reader import Plan, RecoveryReader, cursor_after
from gateway.rooms.driver import RoomDriver
from gateway.rooms.flush_scheduler import FlushScheduler
from gateway.rooms.hub import Hub
from gateway.rooms.join_buffer import ended_by
from gateway.rooms.membership import Membership
from gateway.tasks import Tasks
from persistence.errors import DatabaseUnavailableError, NotMigratedError


class StoppedError(Exception):
    """The member has left the room."""


class TooSlowError(Exception):
    """The client has not read its buffer within `patience_seconds`."""


_ENDINGS: dict[type[Exception], Ending] = {
    OutrunError: close_codes.RESYNC,
    TooSlowError: close_codes.SLOW_CONSUMER,
    BrokerUnavailableError: close_codes.UNAVAILABLE,
    DatabaseUnavailableError: close_codes.UNAVAILABLE,
    NotMigratedError: close_codes.UNAVAILABLE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Replays:
    """The parts and limits that all replays of one gateway share.

    `patience_seconds` is how long a client may take to read a full buffer.
    """

    reader: RecoveryReader
    hub: Hub
    driver: RoomDriver
    scheduler: FlushScheduler
    tasks: Tasks
    counters: Counters
    max_buffer_bytes: int
    patience_seconds: float


class Replay:
    """The recovery of one member, from its welcome (or from the overflow of its buffer) until it gets live events.

    During that time the membership's `recovery` is this replay.
    """

    __slots__ = ("_cursor", "_is_resync", "_limit_bytes", "_member", "_replays", "_writable")

    def __init__(self, replays: Replays, member: Membership) -> None:
        self._replays = replays
        self._member = member
        self._cursor: Cursor
        self._writable = asyncio.Event()
        self._writable.set()
        self._limit_bytes = 0
        self._is_resync = False
        member.recovery = self

    # How it begins

    def begin(self, plan: Plan, until: int) -> None:
        """Start, after the welcome and the plan's events; attach at once when the cursor has reached `until`."""
        self._cursor = plan.cursor
        self._allow_answers()
        self._replays.counters.replays += plan.resumed.missed != 0
        self._replays.counters.replayed_events += len(plan.events)
        if plan.cursor.seq < until or not self._is_attached():
            self._spawn()

    def fall_behind(self) -> None:
        """Stop the member's live events until the client has read its buffer."""
        self._is_resync = True
        self._writable.clear()
        self._replays.counters.slow_consumers += 1
        # Deferred: the seq of the member's last event is exact only between two deliveries.
        self._replays.scheduler.defer(self._suspend)

    def _suspend(self) -> None:
        if not self._member.is_gone:
            position = self._replays.driver.suspend(self._member)
            self._cursor = cursor_after(self._member.room.info, position)
            self._allow_answers()
            self._spawn()

    def _spawn(self) -> None:
        self._replays.tasks.spawn(self._run(), f"replay {self._member.id}")

    # Calls of the carrier

    def pause(self) -> None:
        """The carrier's buffer is full."""
        self._writable.clear()

    def resume(self) -> None:
        """The carrier's buffer is nearly empty again."""
        self._writable.set()

    def stop(self) -> None:
        """The member has left the room: wake the task, which then stops."""
        self._writable.set()

    def answered(self) -> None:
        """Limit the answers, which are not held back: end a client that sends commands and does not read answers."""
        if self._limit_bytes and self._member.carrier.unsent_bytes > self._limit_bytes:
            self._member.carrier.end(close_codes.SLOW_CONSUMER)

    def _allow_answers(self) -> None:
        self._limit_bytes = self._member.carrier.unsent_bytes + self._replays.max_buffer_bytes

    # How it goes on

    async def _run(self) -> None:
        try:
            await self._catch_up()
        except StoppedError:
            pass
        except tuple(_ENDINGS) as error:
            self._member.carrier.end(_ENDINGS[type(error)])
        except Exception:
            self._member.carrier.end(close_codes.INTERNAL)
            raise

    async def _catch_up(self) -> None:
        while self._cursor.has_more:
            await self._send_page()
        # From here on the room's join buffer keeps new events, so that the live events continue the last page.
        with self._replays.hub.kept(self._member.room):
            while not self._is_attached():
                await self._send_page()

    async def _send_page(self) -> None:
        await self._drained()
        room = self._member.room
        known_seq = room.sequencer.last_seq or 0
        events = await self._replays.reader.next(room.info.id, self._cursor, known_seq)
        for data in _packed((event.body for event in events), self._replays.max_buffer_bytes):
            await self._drained()
            self._member.carrier.write(data)
            self._allow_answers()
        self._replays.counters.replayed_events += len(events)
        ending = ended_by(events, self._member.user_id)
        if ending is not None:
            self._member.carrier.end(ending)

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(self._replays.patience_seconds):
                await self._writable.wait()
        except TimeoutError as exc:
            raise TooSlowError from exc
        self._check_here()

    def _check_here(self) -> None:
        if self._member.is_gone:
            raise StoppedError

    def _is_attached(self) -> bool:
        """Attach the member to the live events, unless its buffer is full; returns whether that succeeded."""
        self._check_here()
        if not self._writable.is_set() or not self._replays.driver.attach(self._member, self._cursor.seq):
            return False
        if not self._writable.is_set():  # the events of the join buffer have filled the carrier's buffer
            self._cursor.seq = self._replays.driver.suspend(self._member)
            return False
        self._replays.counters.resyncs += self._is_resync
        self._member.recovery = None
        return True


def _packed(bodies: Iterable[bytes], limit_bytes: int) -> Iterator[bytes]:
    """The frames of these events, joined to pieces of at most `limit_bytes`; a larger frame is a piece of its own."""
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
