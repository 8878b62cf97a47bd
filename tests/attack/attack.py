"""What an attack is: the life of one of its sockets, again and again, and the sessions that it needs."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tests.attack.line import Line, OverError, Welcome

RETURN_SECONDS: Final = 0.25
"""After the gateway has ended a connection or refused it, the attacker tries again so much later."""


class Order(msgspec.Struct, frozen=True):
    """Which attack, on whom, from where."""

    name: str
    sockets: int
    ports: Sequence[int]
    sessions: Sequence[str]
    """The ids of the attack's own sessions; the witness is in none of them."""
    source: str
    """The attacker's address, a fresh one for each attack."""


@dataclass(frozen=True)
class Arena:
    """What the life of a socket is given."""

    order: Order
    tally: "Counter[str]" = field(default_factory=Counter)
    welcomes: dict[int, Welcome] = field(default_factory=dict)
    """What each socket's next life needs to come back to its seat."""
    visits: "Counter[int]" = field(default_factory=Counter)
    """How many lives each socket had."""

    def port(self, number: int) -> int:
        """The gateway of a socket: one gateway for one socket, else all in turn."""
        return self.order.ports[number % len(self.order.ports)]

    def session(self, number: int) -> str:
        """The session of a socket."""
        return self.order.sessions[number % len(self.order.sessions)]

    @contextlib.asynccontextmanager
    async def line(
        self, number: int, session: str | None = None, receive_bytes: int | None = None
    ) -> AsyncIterator[Line]:
        """An upgraded connection; cut at the end. Raises OverError."""
        line = Line(self.tally)
        await line.upgrade(
            self.port(number), self.order.source, session or self.session(number), receive_bytes=receive_bytes
        )
        try:
            yield line
        finally:
            line.cut()

    @contextlib.asynccontextmanager
    async def member(self, number: int) -> AsyncIterator[Line]:
        """A connection that has joined; it comes back to the seat that its number has. Raises OverError."""
        async with self.line(number) as line:
            known = self.welcomes.get(number)
            self.welcomes[number] = await line.join(name=f"attacker {number}", token=known and known.token)
            yield line


Life = Callable[[Arena, int], Awaitable[None]]


@dataclass(frozen=True)
class Attack:
    """One attack. `life` is that of one socket, from its connection to its end; it begins anew when it is over."""

    name: str
    summary: str
    life: Life
    sockets: tuple[int, ...] = (1, 100)
    sessions: int = 1
    fields: Mapping[str, object] = field(default_factory=dict)
    """Of its sessions."""
    seconds: float = 15.0


async def attack(one: Attack, order: Order, tally: "Counter[str]") -> None:
    """Attack until cancelled."""
    arena = Arena(order, tally)
    await asyncio.gather(*(_lives(one.life, arena, number) for number in range(order.sockets)))


async def _lives(life: Life, arena: Arena, number: int) -> None:
    while True:
        arena.visits[number] += 1
        try:
            await life(arena, number)
        except OverError as over:
            arena.tally[over.what] += 1
            await asyncio.sleep(RETURN_SECONDS)
        else:
            await asyncio.sleep(0)  # a life that never waited would keep the others from theirs
