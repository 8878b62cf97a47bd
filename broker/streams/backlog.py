"""How many entries wait for Postgres, and how many can never be written."""

import asyncio

import msgspec

from broker.keys import Keys
from broker.redis.link import Link


class Backlog(msgspec.Struct, frozen=True):
    """Entries in the streams of all partitions, in that of the fullest one, and in the dead streams of all."""

    entries: int = 0
    fullest: int = 0
    dead: int = 0


async def measure(link: Link, keys: Keys) -> Backlog:
    """Measure every partition. Entries that a worker has written count until the worker trims, within about a second.

    Raises BrokerUnavailableError.
    """
    numbers = range(keys.partitions)
    waiting = await asyncio.gather(*(link.call("XLEN", keys.events(number)) for number in numbers))
    dead = await asyncio.gather(*(link.call("XLEN", keys.dead(number)) for number in numbers))
    return Backlog(sum(waiting), max(waiting), sum(dead))
