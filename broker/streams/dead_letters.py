"""Entries that could not be written: list them, put them back, or drop them."""

import asyncio
from collections.abc import AsyncIterator, Collection
from itertools import chain

import msgspec

from broker.keys import Keys
from broker.redis.link import Link
from broker.redis.scripts import OPERATOR_SCRIPTS, Scripts

_PAGE = 100


class DeadEntry(msgspec.Struct, frozen=True):
    """One unwritable entry. `name` (`<partition>:<id>`) is what commands take; `entry_id` was its id in the stream."""

    partition: int
    id: str
    entry_id: str
    session_id: str
    reason: str
    fields: dict[bytes, bytes]

    @property
    def name(self) -> str:
        """The name of the entry in the whole installation."""
        return f"{self.partition}:{self.id}"


async def listed(link: Link, keys: Keys, limit: int | None = None) -> list[DeadEntry]:
    """The dead entries by partition, oldest first, at most `limit`. Raises BrokerUnavailableError."""
    found: list[DeadEntry] = []
    async for entry in _entries(link, keys):
        if limit is not None and len(found) >= limit:
            break
        found.append(entry)
    return found


async def retry(link: Link, keys: Keys, names: Collection[str] | None = None) -> int:
    """Put entries back into their streams for the workers, all when no names are given; returns how many."""
    scripts = Scripts(link, OPERATOR_SCRIPTS)
    count = 0
    for entry in await _chosen(link, keys, names):
        streams = keys.events(entry.partition), keys.dead(entry.partition)
        count += await scripts.call("retry_dead_letter", streams, entry.id, *chain.from_iterable(entry.fields.items()))
    return count


async def drop(link: Link, keys: Keys, names: Collection[str] | None = None) -> int:
    """Delete entries for good, all when no names are given; returns how many."""
    chosen = await _chosen(link, keys, names)
    return sum(await asyncio.gather(*(link.call("XDEL", keys.dead(entry.partition), entry.id) for entry in chosen)))


async def _chosen(link: Link, keys: Keys, names: Collection[str] | None) -> list[DeadEntry]:
    # Listed before anything is moved: an entry that fails again meanwhile is not taken a second time.
    return [entry for entry in await listed(link, keys) if names is None or entry.name in names]


async def _entries(link: Link, keys: Keys) -> AsyncIterator[DeadEntry]:
    for partition in range(keys.partitions):
        start = "-"
        while True:
            page = await link.call("XRANGE", keys.dead(partition), start, "+", "COUNT", _PAGE)
            for entry_id, flat in page:
                yield _dead_entry(partition, entry_id, dict(zip(flat[::2], flat[1::2], strict=True)))
            if len(page) < _PAGE:
                break
            start = f"({page[-1][0].decode()}"


def _dead_entry(partition: int, entry_id: bytes, fields: dict[bytes, bytes]) -> DeadEntry:
    original = {name: value for name, value in fields.items() if name not in {b"reason", b"entry"}}
    return DeadEntry(
        partition,
        entry_id.decode(),
        fields.get(b"entry", b"").decode(),
        original.get(b"s", b"").decode(errors="replace"),
        fields.get(b"reason", b"").decode(),
        original,
    )
