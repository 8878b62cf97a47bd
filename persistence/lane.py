"""One lane of a worker: reads its partitions, writes batch after batch, acknowledges committed entries."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from math import ceil
from typing import TypeVar

import msgspec
import structlog

from broker.errors import BrokerUnavailableError
from broker.events import MessageReceived, decode_stored
from broker.redis.backoff import Backoff
from broker.streams.ownership import Ownership
from broker.streams.partition_streams import Entry, PartitionStreams, Persisted
from persistence.audit import Audit
from persistence.counters import Counters
from persistence.errors import DataError, PersistenceError
from persistence.isolation import Refused, write_all_but_bad
from persistence.rows import Record
from persistence.sessions import StoredSessions
from persistence.waiting import FIRST_SECONDS, LONGEST_SECONDS, Outage, is_set_within
from persistence.writer import Writer

# Redis counts per partition: the most batches that one read may bring when all partitions suddenly have entries.
READ_BATCHES = 8
DISPLACED = "another message has this seq"

Result = TypeVar("Result")

log = structlog.get_logger()


class Batching(msgspec.Struct, frozen=True):
    """A batch is written when it has so many entries, or so long after its first one came."""

    entries: int
    milliseconds: int


class LaneTimings(msgspec.Struct, frozen=True, kw_only=True):
    """How long a lane waits, and how often it does its upkeep.

    `read_seconds` is how long a read waits for the first entry, and so how soon an idle lane notices that it must stop
    or give up a partition. `sweep_seconds` is when a lane looks for entries that were delivered to a process which died
    before it knew of them.
    """

    read_seconds: float = 0.5
    idle_seconds: float = 0.1
    take_seconds: float = 0.5
    trim_seconds: float = 1.0
    sweep_seconds: float = 60.0


class _StoppedError(Exception):
    """The worker was asked to stop while it waited for Postgres; the batch stays pending for the next owner."""


class PartitionLane:
    """Drains the partitions of `lane` that the worker owns. `run` ends when `stop` is set."""

    def __init__(
        self,
        lane: frozenset[int],
        *,
        stream: PartitionStreams,
        writer: Writer,
        stored: StoredSessions,
        audit: Audit,
        ownership: Ownership,
        batching: Batching,
        timings: LaneTimings,
        stop: asyncio.Event,
        redis_outage: Outage,
        database_outage: Outage,
        counters: Counters,
    ) -> None:
        self._lane = lane
        self._stream = stream
        self._writer = writer
        self._stored = stored
        self._audit = audit
        self._ownership = ownership
        self._batching = batching
        self._timings = timings
        self._stop = stop
        self._redis_outage = redis_outage
        self._database_outage = database_outage
        self._counters = counters
        self._is_prepared = False
        # Partitions that had entries at the last read: one busy session fills a batch as fast as many.
        self._busy = 1
        # Sessions of which Postgres may know more than Redis: Redis lost entries that were committed afterwards.
        self._doubtful: set[str] = set()
        # Partitions whose pending entries must be written before new ones are read.
        self._unsettled: set[int] = set()
        self._due_at = {"take": 0.0, "trim": 0.0, "sweep": time.monotonic() + timings.sweep_seconds}

    async def run(self) -> None:
        """Drain until asked to stop. Raises BrokerError when Redis refuses a command for good."""
        backoff = Backoff(FIRST_SECONDS, LONGEST_SECONDS)
        while not self._stop.is_set():
            try:
                await self._turn()
            except BrokerUnavailableError as error:
                self._redis_outage.begin(str(error))
                # Entries that were read and not acknowledged, or came in an answer that was lost, are pending now.
                self._unsettled |= self._lane
                self._is_prepared = False
                await is_set_within(self._stop, backoff.next_seconds())
            except _StoppedError:
                return
            else:
                self._redis_outage.end()
                backoff.reset()

    async def _turn(self) -> None:
        if not self._is_prepared:
            await self._stream.prepare()
            self._is_prepared = True
        await self._reconcile()
        await self._rebalance()
        owned = self._ownership.held & self._lane
        if not owned:
            await is_set_within(self._stop, self._timings.idle_seconds)
            return
        if self._is_due("sweep", self._timings.sweep_seconds):
            self._unsettled |= owned
        await self._settle_pending(owned & self._unsettled)
        await self._persist_all(await self._collect(owned))
        if self._is_due("trim", self._timings.trim_seconds):
            await self._stream.trim(owned)

    async def _rebalance(self) -> None:
        """Release partitions that the plan gives to others, take those it gives to this worker.

        Runs between two batches: every entry that was read is written by then.
        """
        if not self._ownership.is_current:
            return
        planned, held = self._lane.intersection(self._ownership.planned), self._ownership.held & self._lane
        released, missing, taken = held - planned, planned - held, set[int]()
        if released:
            await self._ownership.release(released)
        if missing and self._is_due("take", self._timings.take_seconds):
            taken = await self._ownership.take(sorted(missing))
            self._unsettled |= taken
            self._counters.takeovers += len(taken)
            self._audit.forget(taken)
        if released or taken:
            owned = sorted(self._ownership.held & self._lane)
            log.info("worker.partitions_changed", taken=sorted(taken), released=sorted(released), owned=owned)

    async def _settle_pending(self, partitions: frozenset[int]) -> None:
        if not partitions:
            return
        await self._stream.claim(partitions)
        while entries := await self._stream.pending(partitions, self._count(partitions)):
            await self._persist_all(entries)
            if self._stop.is_set():
                return
        self._unsettled -= partitions

    async def _collect(self, partitions: frozenset[int]) -> list[Entry]:
        """New entries: a batch, or those that came within its time; more when many came at once."""
        entries = await self._read(partitions, self._timings.read_seconds)
        full_at = time.monotonic() + self._batching.milliseconds / 1000
        while entries and len(entries) < self._batching.entries and (left_seconds := full_at - time.monotonic()) > 0:
            entries += await self._read(partitions, left_seconds)
        return entries

    async def _read(self, partitions: frozenset[int], wait_seconds: float) -> list[Entry]:
        entries = await self._stream.read(partitions, self._count(partitions), round(wait_seconds * 1000))
        self._busy = max(1, len({entry.partition for entry in entries}))
        return entries

    def _count(self, partitions: frozenset[int]) -> int:
        """How many entries to ask of each partition."""
        wanted = self._batching.entries
        return min(ceil(wanted / self._busy), ceil(READ_BATCHES * wanted / len(partitions)))

    async def _persist_all(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), self._batching.entries):
            if start and self._stop.is_set():
                return
            await self._persist(entries[start : start + self._batching.entries])

    async def _persist(self, entries: Sequence[Entry]) -> None:
        began_at = time.monotonic()
        decoded, records, dead = _decode(entries)
        await self._patiently(lambda: self._audit.learn(decoded))
        refused = await write_all_but_bad(records, self._write) if records else []
        self._audit.passed(decoded, records)
        refused_entries = [(decoded[place], records[place], reason) for place, reason in refused]
        for place, _ in reversed(refused):
            del decoded[place], records[place]
        self._counters.committed(records)
        try:
            # First: a publisher that waits for a dead message must hear of it before a watermark passes the message.
            for entry, reason in dead:
                await self._dead_letter(entry, reason, 0)
            for entry, record, reason in refused_entries:
                await self._set_aside(entry, record, reason)
            self._doubtful |= await self._stream.settle(decoded, _watermarks(decoded, records))
        except BrokerUnavailableError:
            self._doubtful.update(entry.session_id for entry in decoded)
            raise
        seconds = time.monotonic() - began_at
        self._counters.settled(records, seconds)
        log.debug("worker.batch_written", entries=len(records), seconds=round(seconds, 6))

    async def _write(self, records: Sequence[Record]) -> list[Refused]:
        displaced = await self._patiently(lambda: self._writer.write(records))
        return [Refused(place, DISPLACED) for place in displaced]

    async def _patiently(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """The answer of Postgres, however long that takes. Raises DataError, or _StoppedError when asked to stop."""
        backoff = Backoff(FIRST_SECONDS, LONGEST_SECONDS)
        while True:
            try:
                answer = await ask()
            except DataError:
                self._database_outage.end()
                raise
            except PersistenceError as error:
                self._database_outage.begin(str(error))
                if await is_set_within(self._stop, backoff.next_seconds()):
                    raise _StoppedError from error
            else:
                self._database_outage.end()
                return answer

    async def _set_aside(self, entry: Entry, record: Record, reason: str) -> None:
        """Treat a refused entry: a message whose seq was given twice gets another seq, any other is dead."""
        if reason != DISPLACED:
            await self._note_refused(record)
            await self._dead_letter(entry, reason, record.event.seq)
            return
        self._audit.displaced_total += 1
        assert isinstance(record.event, MessageReceived)
        seq = await self._stream.restore(entry, record.event, self._audit.last_seq(entry))
        if seq is None:
            await self._dead_letter(entry, reason, record.event.seq)
            return
        self._audit.restored_total += 1
        log.warning("worker.message_restored", session_id=entry.session_id, seq=record.event.seq, new_seq=seq)

    async def _note_refused(self, record: Record) -> None:
        """Let gateways know that this message is missing in Postgres, for clients that resume from there."""
        if isinstance(record.event, MessageReceived):
            with contextlib.suppress(DataError):  # a session id that is none: nobody resumes there
                await self._patiently(lambda: self._writer.note_refused(record.session_id, record.event.seq))

    async def _reconcile(self) -> None:
        """Let Redis undo nothing that was committed after Redis had lost it: the gateways have compared too early."""
        if self._doubtful:
            recorded = await self._patiently(lambda: self._stored.recorded(self._doubtful))
            await self._stream.reconcile(recorded)
            self._doubtful.clear()

    async def _dead_letter(self, entry: Entry, reason: str, seq: int) -> None:
        await self._stream.dead_letter(entry, reason, seq)
        self._counters.dead_letters += 1
        log.error(
            "worker.entry_dead",
            session_id=entry.session_id,
            partition=entry.partition,
            entry_id=entry.id.decode(),
            reason=reason,
        )

    def _is_due(self, what: str, every_seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due_at[what]:
            return False
        self._due_at[what] = now + every_seconds
        return True


def _decode(entries: Sequence[Entry]) -> tuple[list[Entry], list[Record], list[tuple[Entry, str]]]:
    """The entries that hold an event, their records in the same places, and the others with what is wrong."""
    decoded: list[Entry] = []
    records: list[Record] = []
    dead: list[tuple[Entry, str]] = []
    for entry in entries:
        try:
            event = decode_stored(entry.body)
        except msgspec.DecodeError as error:
            dead.append((entry, f"undecodable: {error}"))
        else:
            decoded.append(entry)
            records.append(Record(entry.session_id, event, entry.epoch, entry.id))
    return decoded, records, dead


def _watermarks(entries: Sequence[Entry], records: Sequence[Record]) -> Iterator[Persisted]:
    highest: dict[tuple[int, str, str], int] = {}
    for entry, record in zip(entries, records, strict=True):
        key = entry.partition, entry.session_id, entry.epoch
        highest[key] = max(highest.get(key, 0), record.event.seq)
    return (Persisted(*key, seq) for key, seq in highest.items() if seq)
