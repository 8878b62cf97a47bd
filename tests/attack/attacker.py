"""The attacker: one process, one event loop, at most one core, and less urgent than what it attacks."""

import asyncio
import os
from collections import Counter
from multiprocessing.connection import Connection
from typing import Final

import uvloop

from tests.attack.attack import Order, attack
from tests.attack.attacks import ATTACKS

# A real attacker has a machine of its own: it must not win the cores that gateways, Redis and witness need.
_NICENESS: Final = 10


async def _attack(control: Connection, order: Order) -> "Counter[str]":
    tally: Counter[str] = Counter()
    task = asyncio.create_task(attack(ATTACKS[order.name], order, tally))
    is_asked = asyncio.Event()
    asyncio.get_running_loop().add_reader(control.fileno(), is_asked.set)
    asked = asyncio.create_task(is_asked.wait())
    await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task  # raises what was wrong
    for each in (task, asked):
        each.cancel()
    await asyncio.gather(task, asked, return_exceptions=True)
    return +tally


def main(control: Connection, order: Order) -> None:
    """The process, from start to end: attacks until anything is sent to it, then says what it did."""
    os.nice(_NICENESS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        control.send(dict(runner.run(_attack(control, order))))
    control.close()
