"""The worker's source: the partition streams, read through one consumer group, acknowledged, trimmed.

Delivery is at least once: an entry stays pending until it is acknowledged, and whoever owns the partition next finds it
there. Within a partition entries come in the order they were published.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from broker import keys
from broker.events import MessageReceived, tail
from broker.pubsub.publisher import KEY_SECONDS
from broker.redis import client
from broker.redis.client import mapped
from broker.redis.installation import check_partitions
from broker.sessions.epochs import new_epoch

# All workers read under one name: a partition has one owner, and what the last one left pending is its successor's.
CONSUMER = "worker"
_NEW = ">"
_FROM_START = "0-0"
_CLAIM_AT_ONCE = 1000


class Entry(msgspec.Struct, frozen=True):
    """One entry of a partition's stream: an event of a session, as JSON. `id` is the stream's.

    A field that is missing is empty.
    """

    partition: int
    id: bytes
    session_id: str
    epoch: str
    body: bytes
    fields: dict[Any, Any]  # of bytes; redis-py's annotations take no narrower type


class Persisted(msgspec.Struct, frozen=True):
    """Everything of a session up to `seq` is committed, as far as it belongs to `epoch`."""

    partition: int
    session_id: str
    epoch: str
    seq: int


class PartitionStreams:
    """Reads and settles entries. Methods raise BrokerUnavailableError when Redis can't answer, or lost its data.

    After that error what was read and not acknowledged must be read again (`pending`).
    """

    def __init__(self, redis: Redis, partitions: int) -> None:
        self._redis = redis
        self._partitions = partitions
        self._of_key = {keys.events(partition).encode(): partition for partition in range(partitions)}
        self._persisted = client.script(redis, "persisted")
        self._trim = client.script(redis, "trim")
        self._restore = client.script(redis, "lib", "seats", "restore")

    async def prepare(self) -> None:
        """Make the consumer group on every partition; raises PartitionsMismatchError when there are others."""
        with mapped():
            first: Any = await self._redis.set(keys.PARTITIONS, self._partitions, nx=True, get=True)
            check_partitions(first, self._partitions)
            async with self._redis.pipeline(transaction=False) as pipeline:
                for partition in range(self._partitions):
                    pipeline.xgroup_create(keys.events(partition), keys.GROUP, id=_FROM_START, mkstream=True)
                for answer in await pipeline.execute(raise_on_error=False):
                    if isinstance(answer, Exception) and not str(answer).startswith("BUSYGROUP"):
                        raise answer

    async def claim(self, partitions: Iterable[int]) -> None:
        """Make pending what other consumers left pending; `pending` then gives it.

        Only for partitions that are owned: their consumers are gone, whatever they were called.
        """
        with mapped():
            for partition in partitions:
                start: Any = _FROM_START
                while True:
                    answer = await self._redis.xautoclaim(
                        keys.events(partition), keys.GROUP, CONSUMER, 0, start, count=_CLAIM_AT_ONCE
                    )
                    start = answer[0]
                    if start == _FROM_START.encode():
                        break

    async def pending(self, partitions: Collection[int], count: int) -> list[Entry]:
        """The first entries that were read and never acknowledged, at most `count` of each partition."""
        return await self._read(partitions, _FROM_START, count, None)

    async def read(self, partitions: Collection[int], count: int, wait_ms: int) -> list[Entry]:
        """New entries, at most `count` of each partition; waits up to `wait_ms` (at least 1) for the first one."""
        return await self._read(partitions, _NEW, count, max(1, wait_ms))

    async def settle(self, entries: Collection[Entry], persisted: Iterable[Persisted]) -> None:
        """Acknowledge entries that are committed, and move their sessions' watermarks."""
        ids: defaultdict[int, list[bytes]] = defaultdict(list)
        for entry in entries:
            ids[entry.partition].append(entry.id)
        marks: defaultdict[int, list[Persisted]] = defaultdict(list)
        for mark in persisted:
            marks[mark.partition].append(mark)
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for partition, acknowledged in ids.items():
                    pipeline.xack(keys.events(partition), keys.GROUP, *acknowledged)
                for partition, moved in marks.items():
                    await self._persisted(
                        keys=[keys.session(partition, mark.session_id) for mark in moved],
                        args=[part for mark in moved for part in (mark.epoch, mark.seq)],
                        client=pipeline,
                    )
                await pipeline.execute()

    async def bury(self, entry: Entry, reason: str, seq: int) -> None:
        """Move an entry that can't be written to the partition's dead stream, with the reason.

        Whoever waits until the message with this `seq` is committed is told that it will not be (0: nobody can wait).
        """
        with mapped():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.xadd(keys.dead(entry.partition), {**entry.fields, b"reason": reason, b"entry": entry.id})
                pipeline.xack(keys.events(entry.partition), keys.GROUP, entry.id)
                if seq:
                    # Repeated with its key it must not pass for committed, once the watermark has gone by.
                    pipeline.set(keys.refused(entry.partition, entry.session_id, seq), 1, ex=KEY_SECONDS)
                    pipeline.publish(keys.session(entry.partition, entry.session_id), f"0 d -\n{seq}")
                await pipeline.execute()

    async def restore(self, entry: Entry, event: MessageReceived, seen: int) -> int | None:
        """Publish a message again whose seq another message has, and acknowledge its entry; returns the new seq.

        Unless its epoch is over already, the session gets another one that lies above `seen` and everything else. None
        says that Redis does not know the session; nothing was done then.
        """
        with mapped():
            seq = await self._restore(
                keys=[keys.session(entry.partition, entry.session_id), keys.prefix(entry.partition)],
                args=[
                    entry.epoch,
                    seen,
                    new_epoch(),
                    event.data.user_id or "-",
                    tail(event.ts, event.data),
                    keys.GROUP,
                    entry.id,
                ],
            )
        return int(seq) or None

    async def trim(self, partitions: Collection[int]) -> int:
        """Drop what every consumer group has acknowledged; returns how many entries that were."""
        with mapped():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for partition in partitions:
                    await self._trim(keys=[keys.events(partition)], client=pipeline)
                return sum(await pipeline.execute())

    async def _read(self, partitions: Collection[int], start: str, count: int, wait_ms: int | None) -> list[Entry]:
        with mapped():
            answer: Any = await self._redis.xreadgroup(
                keys.GROUP,
                CONSUMER,
                {keys.events(partition): start for partition in partitions},
                count=count,
                block=wait_ms,
            )
        return [
            _entry(self._of_key[key], entry_id, fields or {})
            for key, entries in (answer or {}).items()
            for entry_id, fields in entries
        ]


def _entry(partition: int, entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    return Entry(
        partition,
        entry_id,
        fields.get(b"s", b"").decode(errors="replace"),
        fields.get(b"e", b"").decode(errors="replace"),
        fields.get(b"d", b""),
        fields,
    )


async def lag(redis: Redis, partitions: int) -> dict[int, int]:
    """For each partition, how many entries are not acknowledged yet. Raises BrokerUnavailableError."""
    with mapped():
        async with redis.pipeline(transaction=False) as pipeline:
            for partition in range(partitions):
                pipeline.xlen(keys.events(partition))
                pipeline.xinfo_groups(keys.events(partition))
            answers = await pipeline.execute(raise_on_error=False)
        return {partition: _lag(*answers[2 * partition : 2 * partition + 2]) for partition in range(partitions)}


def _lag(length: Any, groups: Any) -> int:
    if isinstance(length, Exception):
        raise length
    if isinstance(groups, ResponseError):  # there is no stream yet
        return int(length)
    for group in groups:
        if group["name"] in {keys.GROUP, keys.GROUP.encode()}:
            # Redis can't tell after a deletion in the middle; then everything that is there counts.
            return int(length) if group["lag"] is None else int(group["lag"]) + int(group["pending"])
    return int(length)
