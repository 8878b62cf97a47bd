"""The worker's source: the partition streams, read through one consumer group, acknowledged, trimmed.

Delivery is at least once: an entry stays pending until it is acknowledged, and the next owner of the partition finds it
there. Within a partition entries come in the order they were published.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import chain

import msgspec

from broker.events import MessageReceived, tail
from broker.keys import GROUP, Keys
from broker.pubsub.publisher import KEY_SECONDS
from broker.redis.connection import Reply
from broker.redis.installation import claim
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.epochs import new_epoch
from broker.sessions.recorded import Recorded, reconcile
from broker.streams.lag import groups_of

# All workers read under one name: a partition has one owner, and its entries that the last owner left pending are its
# successor's.
CONSUMER = "worker"
_NEW = ">"
_FROM_START = "0-0"
_CLAIM_AT_ONCE = 1000
# How long Redis knows which message was restored: a worker that was suspended may come with the same entry.
RESTORED_SECONDS = 86_400


class Entry(msgspec.Struct, frozen=True):
    """One entry of a partition's stream: an event of a session, as JSON. `id` is the stream's.

    A field that is missing is empty.
    """

    partition: int
    id: bytes
    session_id: str
    epoch: str
    body: bytes
    fields: dict[bytes, bytes]


class Persisted(msgspec.Struct, frozen=True):
    """Every event of a session up to `seq` is committed, as far as it belongs to `epoch`."""

    partition: int
    session_id: str
    epoch: str
    seq: int


class PartitionStreams:
    """Reads and settles entries. Methods raise BrokerUnavailableError when Redis can't answer, or lost its data.

    After that error every entry that was read and not acknowledged must be read again (`pending`). `reading` is a link
    of its own, since a read that waits delays every command behind it.
    """

    def __init__(self, link: Link, scripts: Scripts, *, reading: Link, keys: Keys) -> None:
        self._link = link
        self._scripts = scripts
        self._reading = reading
        self._keys = keys
        self._of_key = {keys.events(partition).encode(): partition for partition in range(keys.partitions)}

    async def prepare(self) -> None:
        """Make the consumer group on every partition. Raises PartitionsMismatchError when Redis has another number.

        Writes nothing when everything is there: a worker has to work with a full memory, to make room.
        """
        await claim(self._link, self._keys)
        streams = [self._keys.events(partition) for partition in range(self._keys.partitions)]
        groups = await asyncio.gather(*(groups_of(self._link, stream) for stream in streams))
        made = (
            self._link.call("XGROUP", "CREATE", stream, GROUP, _FROM_START, "MKSTREAM")
            for stream, names in zip(streams, groups, strict=True)
            if GROUP not in names
        )
        for answer in await asyncio.gather(*made, return_exceptions=True):
            if isinstance(answer, BaseException) and not str(answer).startswith("BUSYGROUP"):
                raise answer

    async def claim(self, partitions: Iterable[int]) -> None:
        """Make entries that other consumers left pending this consumer's; `pending` then gives them.

        Only for partitions that are owned: their consumers are gone, whatever their names were.
        """
        for partition in partitions:
            start: str | bytes = _FROM_START
            while True:
                answer = await self._link.call(
                    *("XAUTOCLAIM", self._keys.events(partition), GROUP, CONSUMER, 0, start, "COUNT", _CLAIM_AT_ONCE)
                )
                start = answer[0]
                if start == _FROM_START.encode():
                    break

    async def pending(self, partitions: Collection[int], count: int) -> list[Entry]:
        """The first entries that were read and never acknowledged, at most `count` of each partition."""
        return self._entries(await self._link.call(*self._read(partitions, count, _FROM_START)))

    async def read(self, partitions: Collection[int], count: int, wait_ms: int) -> list[Entry]:
        """New entries, at most `count` of each partition; waits up to `wait_ms` (at least 1) for the first one."""
        return self._entries(await self._reading.call(*self._read(partitions, count, _NEW, "BLOCK", max(1, wait_ms))))

    async def settle(self, entries: Collection[Entry], persisted: Iterable[Persisted]) -> set[str]:
        """Acknowledge entries that are committed, and move their sessions' watermarks: both or neither.

        Returns the sessions of partitions that no longer knew every entry: another worker has settled it, or Redis has
        lost it since it was read.
        """
        ids: defaultdict[int, list[bytes]] = defaultdict(list)
        for entry in entries:
            ids[entry.partition].append(entry.id)
        marks: defaultdict[int, list[Persisted]] = defaultdict(list)
        for mark in persisted:
            marks[mark.partition].append(mark)
        partitions = ids.keys() | marks.keys()
        acknowledged = await asyncio.gather(
            *(
                self._scripts.call(
                    "settle",
                    [
                        self._keys.events(partition),
                        *(self._keys.session(partition, mark.session_id) for mark in marks[partition]),
                    ],
                    GROUP,
                    len(ids[partition]),
                    *ids[partition],
                    *(part for mark in marks[partition] for part in (mark.epoch, mark.seq)),
                )
                for partition in partitions
            )
        )
        short = {
            partition for partition, count in zip(partitions, acknowledged, strict=True) if count < len(ids[partition])
        }
        return {entry.session_id for entry in entries if entry.partition in short} if short else set()

    async def reconcile(self, recorded: Iterable[Recorded]) -> None:
        """Make sessions agree with what Postgres knows of them."""
        await asyncio.gather(*(reconcile(self._scripts, self._keys, one) for one in recorded))

    async def dead_letter(self, entry: Entry, reason: str, seq: int) -> None:
        """Move an entry that can't be written to the partition's dead stream, with the reason.

        Publishers that wait until the message with this `seq` is committed are told that it never will be (0: nobody
        can wait).
        """
        partition, session_id = entry.partition, entry.session_id
        await self._scripts.call(
            "dead_letter",
            (
                self._keys.events(partition),
                self._keys.dead(partition),
                self._keys.session(partition, session_id),
                self._keys.refused(partition, session_id, seq),
            ),
            GROUP,
            entry.id,
            reason,
            seq,
            KEY_SECONDS,
            *chain.from_iterable(entry.fields.items()),
        )

    async def restore(self, entry: Entry, event: MessageReceived, seen: int) -> int | None:
        """Publish a message again whose seq another message has, and acknowledge its entry; returns the new seq.

        For an entry that another worker has restored already this is the seq that it got then.

        Unless its epoch is over already, the session gets another epoch that lies above `seen` and every other seq.
        None says that Redis does not know the session; nothing was done then.
        """
        seq = await self._scripts.call(
            "restore",
            (self._keys.session(entry.partition, entry.session_id), self._keys.part(entry.partition)),
            entry.epoch,
            seen,
            new_epoch(),
            event.data.user_id or "-",
            tail(event.ts, event.data),
            GROUP,
            entry.id,
            RESTORED_SECONDS,
        )
        return int(seq) or None

    async def trim(self, partitions: Collection[int]) -> int:
        """Drop the entries that every consumer group has acknowledged; returns how many."""
        return sum(
            await asyncio.gather(
                *(self._scripts.call("trim", (self._keys.events(partition),)) for partition in partitions)
            )
        )

    def _read(self, partitions: Collection[int], count: int, start: str, *options: str | int) -> tuple[str | int, ...]:
        streams = (self._keys.events(partition) for partition in partitions)
        starts = (start for _ in partitions)
        return ("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", count, *options, "STREAMS", *streams, *starts)

    def _entries(self, reply: Reply) -> list[Entry]:
        """The entries in a reply of XREADGROUP, which is nil when there are none."""
        return [
            _entry(self._of_key[key], entry_id, flat or ())
            for key, entries in (reply or {}).items()
            for entry_id, flat in entries
        ]


def _entry(partition: int, entry_id: bytes, flat: Sequence[bytes]) -> Entry:
    # An entry that was deleted while it was pending has no fields.
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Entry(
        partition,
        entry_id,
        fields.get(b"s", b"").decode(errors="replace"),
        fields.get(b"e", b"").decode(errors="replace"),
        fields.get(b"d", b""),
        fields,
    )
