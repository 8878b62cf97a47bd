"""Checks the Redis of an installation: one number of partitions, no eviction, an append-only file."""

import msgspec

from broker.errors import BrokerError, PartitionsMismatchError
from broker.keys import Keys
from broker.redis.link import Link


class Problem(msgspec.Struct, frozen=True):
    """A setting of Redis that will lose data sooner or later, and how to mend it."""

    what: str
    mend: str


async def claim(link: Link, keys: Keys) -> None:
    """Store the number of partitions with the first data. Raises PartitionsMismatchError for another number."""
    # Written once: a full memory refuses SET, and must not keep out a worker that would make room.
    first = await link.call("GET", keys.claim)
    if first is None:
        first = await link.call("SET", keys.claim, keys.partitions, "NX", "GET")
    if first is not None and int(first) != keys.partitions:
        raise PartitionsMismatchError(
            f"Redis holds data in {int(first)} partitions, PARTITIONS is {keys.partitions}; set PARTITIONS={int(first)}"
        )


async def problems(link: Link) -> list[Problem]:
    """The problems of the configuration of Redis; empty when there are none."""
    found: list[Problem] = []
    try:
        policy = await _configured(link, "maxmemory-policy")
        appendonly = await _configured(link, "appendonly")
    except BrokerError as error:
        if "unknown command" in str(error) or "NOPERM" in str(error):
            return [
                Problem("its configuration can't be read (CONFIG is not allowed)", "check the configuration by hand")
            ]
        raise
    if policy != "noeviction":
        found.append(
            Problem(f"maxmemory-policy is {policy}: Redis may drop events", "set `maxmemory-policy noeviction`")
        )
    if appendonly != "yes":
        found.append(Problem("appendonly is off: a restart loses events", "set `appendonly yes`"))
    return found


async def server_info(link: Link, section: str) -> dict[str, str]:
    """The fields of `INFO section`, as text."""
    text: bytes = await link.call("INFO", section)
    lines = (line.partition(":") for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: value for name, separator, value in lines if separator}


async def _configured(link: Link, parameter: str) -> str:
    """The value of one parameter; empty when this Redis has no such parameter."""
    values: dict[bytes, bytes] = await link.call("CONFIG", "GET", parameter)
    return values.get(parameter.encode(), b"").decode()
