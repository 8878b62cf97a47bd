"""Contiguity: every seq of a session must pass through the worker. Synchronous except for the look-up of marks."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import msgspec
import structlog

from broker.sessions.epochs import first_seq
from broker.streams.partition_streams import Entry
from persistence.marks import Marks
from persistence.rows import Record

# Sessions remembered per partition; for a forgotten session the mark in Postgres holds the same.
SESSIONS_KEPT = 4096

log = structlog.get_logger()


class _Place(msgspec.Struct):
    epoch: str
    seq: int


class Audit:
    """Watches which seqs pass through this worker; all numbers count from its start.

    `missing_total` counts seqs that never came and must stay 0. `duplicates_total` counts events that came again, which
    is harmless: an acknowledgement was lost. `displaced_total` counts messages whose seq another message has, because
    Redis lost data; `restored_total` of these got a new seq, the others are dead entries.
    """

    def __init__(self, marks: Marks, *, sessions_kept: int = SESSIONS_KEPT) -> None:
        self._marks = marks
        self._sessions_kept = sessions_kept
        self._places: defaultdict[int, dict[str, _Place]] = defaultdict(dict)
        self.missing_total = 0
        self.duplicates_total = 0
        self.displaced_total = 0
        self.restored_total = 0

    async def learn(self, entries: Iterable[Entry]) -> None:
        """Look up how far unknown sessions had come; call this before their entries are written.

        Raises DatabaseUnavailableError.
        """
        unknown = {
            entry.session_id: entry.partition
            for entry in entries
            if entry.session_id not in self._places[entry.partition]
        }
        if not unknown:
            return
        marks = {mark.session_id: mark for mark in await self._marks.of(unknown)}
        for session_id, partition in unknown.items():
            mark = marks.get(session_id)
            self._places[partition][session_id] = _Place(mark.epoch, mark.seq) if mark else _Place("", 0)

    def passed(self, entries: Sequence[Entry], records: Sequence[Record]) -> None:
        """Note entries that were written or set aside; call `learn` with them first."""
        for entry, record in zip(entries, records, strict=True):
            seq = record.event.seq
            if seq <= 0:  # a join or a leave under `summary` presence has no seq
                continue
            place = self._places[entry.partition][entry.session_id]
            if seq == place.seq + 1 and entry.epoch == place.epoch:
                place.seq = seq
            else:
                self._passed_out_of_order(place, entry, seq)
        for partition in {entry.partition for entry in entries}:
            self._bound(self._places[partition])

    def last_seq(self, entry: Entry) -> int:
        """The last seq of the entry's session; call `learn` with the entry first."""
        return self._places[entry.partition][entry.session_id].seq

    def forget(self, partitions: Collection[int]) -> None:
        """Forget partitions that another worker may have drained meanwhile."""
        for partition in partitions:
            self._places.pop(partition, None)

    def _passed_out_of_order(self, place: _Place, entry: Entry, seq: int) -> None:
        if seq <= place.seq:
            self.duplicates_total += 1
            return
        first = place.seq + 1 if entry.epoch == place.epoch else first_seq(seq)
        if seq > first:
            self.missing_total += seq - first
            log.error("worker.seq_missing", session_id=entry.session_id, epoch=entry.epoch, first=first, last=seq - 1)
        place.epoch, place.seq = entry.epoch, seq

    def _bound(self, places: dict[str, _Place]) -> None:
        for session_id in list(places)[: max(0, len(places) - self._sessions_kept)]:
            del places[session_id]
