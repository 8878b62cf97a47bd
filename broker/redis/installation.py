"""What an installation has in Redis once: its number of partitions, its id, a configuration that loses nothing."""

import asyncio

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


async def bound_to(link: Link, keys: Keys) -> str | None:
    """The id of the installation that Redis belongs to; None when it belongs to none, as after it lost its data."""
    found: bytes | None = await link.call("GET", keys.installation)
    return None if found is None else found.decode(errors="replace")


async def bind(link: Link, keys: Keys, installation_id: str) -> str:
    """Give Redis to this installation unless it belongs to one; returns the id of the installation it belongs to."""
    first: bytes | None = await link.call("SET", keys.installation, installation_id, "NX", "GET")
    return installation_id if first is None else first.decode(errors="replace")


async def rebind(link: Link, keys: Keys, installation_id: str) -> None:
    """Give Redis to this installation, whatever it belonged to; the next gateway compares it with Postgres."""
    await asyncio.gather(
        link.call("SET", keys.installation, installation_id),
        link.call("DEL", keys.fenced),
    )


async def living(link: Link, keys: Keys) -> list[str]:
    """The ids of the gateways and workers that work under these names now."""
    seconds, _ = await link.call("TIME")
    sets = (keys.workers, *(keys.gateways(partition) for partition in range(keys.partitions)))
    found = await asyncio.gather(*(link.call("ZRANGEBYSCORE", one, int(seconds) * 1000, "+inf") for one in sets))
    return sorted({name.decode() for names in found for name in names})


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
    return info_fields(await link.call("INFO", section))


def info_fields(reply: bytes) -> dict[str, str]:
    """The fields in a reply to INFO, as text."""
    lines = (line.partition(":") for line in reply.decode().splitlines() if not line.startswith("#"))
    return {name: value for name, separator, value in lines if separator}


async def _configured(link: Link, parameter: str) -> str:
    """The value of one parameter; empty when this Redis has no such parameter."""
    values: dict[bytes, bytes] = await link.call("CONFIG", "GET", parameter)
    return values.get(parameter.encode(), b"").decode()
