"""What a scenario is given: the running system, the clients, the seed's randomness, and the ledger for its faults."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Generic, Literal, TypeVar

from tests.chaos.crowd import Crowd
from tests.chaos.ledger import Demand, Fault, Ledger, Measure
from tests.chaos.person import Habits

System = TypeVar("System")
UNBOUNDED: Final = 1e9
"""For demands: JSON has no infinity."""
_BURST_MESSAGES: Final = 3
_ON_THE_WAY_SECONDS: Final = 0.03
House = Literal["stack", "cluster"]


@dataclass(frozen=True)
class Stage(Generic[System]):
    """One run of one scenario."""

    system: System
    crowd: Crowd
    ledger: Ledger
    random: Random
    is_short: bool

    def pick(self, full: Any, short: Any) -> Any:
        """The one or the other."""
        return short if self.is_short else full

    async def pass_time(self, least: float, most: float) -> float:
        """Let a time pass that the seed chooses; returns it."""
        seconds = self.random.uniform(least, most)
        await asyncio.sleep(seconds)
        return seconds

    async def burst(self, on_the_way_seconds: float = _ON_THE_WAY_SECONDS) -> None:
        """Everybody says something at once; returns while that is on its way, the seed knows where."""
        for person in self.crowd.present():
            for _ in range(_BURST_MESSAGES):
                self.crowd.say(person)
        await self.pass_time(0, on_the_way_seconds)

    @contextlib.asynccontextmanager
    async def fault(self, what: str, target: str) -> AsyncIterator[None]:
        """Write down that this is done to it from now on, until the end of this; much is under way when it begins."""
        await self.burst()
        at = self.ledger.now()
        try:
            yield
        finally:
            self.ledger.add(Fault(round(at, 3), what, target, round(self.ledger.now(), 3)))

    def strike(self, what: str, target: str) -> None:
        """Write down that this was done to it, in a moment."""
        at = round(self.ledger.now(), 3)
        self.ledger.add(Fault(at, what, target, at))

    def measured(self, name: str, value: float) -> None:
        """Write down what was measured."""
        self.ledger.add(Measure(self.ledger.now(), name, value))

    def demand(self, name: str, least: float, most: float) -> None:
        """It has to lie in these bounds."""
        self.ledger.add(Demand(self.ledger.now(), name, least, most))


@dataclass(frozen=True)
class Scenario:
    """One scenario: what it does, in a sentence, and the system that it needs.

    kept_seconds: who is away for less must not be seen to leave; by default the shorter of lease and grace, less the
    beat that may just have been due. is_direct: clients connect to the gateways without a proxy between.
    """

    name: str
    summary: str
    body: Callable[[Stage[Any]], Awaitable[None]]
    house: House = "stack"
    habits: Habits = field(default_factory=Habits)
    settle_seconds: float = 40.0
    kept_seconds: float = 7.0
    is_long_only: bool = False
    is_direct: bool = False
