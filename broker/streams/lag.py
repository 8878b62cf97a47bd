"""The lag of the workers: how many entries of each partition are not acknowledged yet."""

import asyncio
from typing import Any

from broker.errors import BrokerError, BrokerUnavailableError
from broker.keys import GROUP, Keys
from broker.redis.link import Link


async def lag(link: Link, keys: Keys) -> dict[int, int]:
    """For each partition, how many entries are not acknowledged yet. Raises BrokerUnavailableError."""
    numbers = range(keys.partitions)
    lengths, groups = await asyncio.gather(
        asyncio.gather(*(link.call("XLEN", keys.events(number)) for number in numbers)),
        asyncio.gather(*(groups_of(link, keys.events(number)) for number in numbers)),
    )
    return {number: _lag(lengths[number], groups[number]) for number in numbers}


async def groups_of(link: Link, stream: str) -> dict[str, dict[bytes, Any]]:
    """The consumer groups of a partition's stream as XINFO tells them, by name; none while there is no stream."""
    try:
        groups: list[dict[bytes, Any]] = await link.call("XINFO", "GROUPS", stream)
    except BrokerUnavailableError:
        raise
    except BrokerError:  # there is no stream yet; a key of another kind makes XLEN fail
        return {}
    return {group[b"name"].decode(): group for group in groups}


def _lag(length: int, groups: dict[str, dict[bytes, Any]]) -> int:
    group = groups.get(GROUP)
    # Redis can't tell after a deletion in the middle; then every entry counts.
    if group is None or group[b"lag"] is None:
        return length
    return int(group[b"lag"]) + int(group[b"pending"])
