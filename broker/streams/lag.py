"""The lag of the workers: how many entries of each partition are not acknowledged yet."""

import asyncio
from typing import Any

from broker.errors import BrokerError, BrokerUnavailableError
from broker.keys import GROUP, Keys
from broker.redis.link import Link

_GROUP = GROUP.encode()


async def lag(link: Link, keys: Keys) -> dict[int, int]:
    """For each partition, how many entries are not acknowledged yet. Raises BrokerUnavailableError."""
    numbers = range(keys.partitions)
    lengths, groups = await asyncio.gather(
        asyncio.gather(*(link.call("XLEN", keys.events(number)) for number in numbers)),
        asyncio.gather(*(_groups(link, keys.events(number)) for number in numbers)),
    )
    return {number: _lag(lengths[number], groups[number]) for number in numbers}


async def _groups(link: Link, stream: str) -> list[dict[bytes, Any]]:
    try:
        groups: list[dict[bytes, Any]] = await link.call("XINFO", "GROUPS", stream)
    except BrokerUnavailableError:
        raise
    except BrokerError:  # there is no stream yet; a key of another kind makes XLEN fail
        return []
    return groups


def _lag(length: int, groups: list[dict[bytes, Any]]) -> int:
    for group in groups:
        if group[b"name"] == _GROUP:
            # Redis can't tell after a deletion in the middle; then every entry counts.
            return length if group[b"lag"] is None else int(group[b"lag"]) + int(group[b"pending"])
    return length
