"""Runs scenarios: the system, the clients, the fault, then the verdict on the ledger that they leave."""

import asyncio
import contextlib
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import uvloop

from tests.chaos import checker, ledger
from tests.chaos.crowd import Crowd
from tests.chaos.ledger import Head, Ledger, Measure
from tests.chaos.local import running_cluster
from tests.chaos.stack import running_stack
from tests.chaos.stage import House, Scenario, Stage
from tests.chaos.verdict import Verdict

VERDICT_FILE: Final = "verdict.json"
# Links that are dead are noticed sooner in the short form.
_SHORT_SETTINGS: Final = {"redis_timeout_seconds": 2, "db_timeout_seconds": 2}
_LATE_SECONDS: Final = 600.0


class Runner:
    """Runs scenarios one after the other on systems that they share, below `folder`.

    A system that a scenario did not leave in good order is not used again.
    """

    def __init__(self, folder: Path, *, is_short: bool) -> None:
        self._folder = folder
        self._is_short = is_short
        self._loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._systems: dict[House, tuple[contextlib.AsyncExitStack, Any]] = {}
        self._made = 0

    def __enter__(self) -> Self:
        self._loop.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        for house in list(self._systems):
            self._loop.run(self._drop(house))
        self._loop.__exit__(kind, value, where)

    def run(self, scenario: Scenario, seed: int) -> Verdict:
        """Run it; its ledger and verdict are in a folder of its name. Raises what went wrong with the run itself."""
        return self._loop.run(self._run(scenario, seed))

    async def _run(self, scenario: Scenario, seed: int) -> Verdict:
        folder = self._folder / f"{scenario.name}-{seed}"
        system = await self._system(scenario.house)
        try:
            async with asyncio.timeout(_LATE_SECONDS * (3 if scenario.is_long_only else 1)):
                await play(scenario, seed, system, folder, is_short=self._is_short)
        except BaseException:
            await self._drop(scenario.house)
            raise
        verdict = checker.check(ledger.read(folder))
        (folder / VERDICT_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(verdict), indent=1) + b"\n")
        if not verdict.is_good:
            await self._drop(scenario.house)
        return verdict

    async def _system(self, house: House) -> Any:
        if house not in self._systems:
            self._made += 1
            folder = self._folder / f"{house}-{self._made}"
            folder.mkdir(parents=True)
            stack = contextlib.AsyncExitStack()
            self._systems[house] = stack, await stack.enter_async_context(self._start(house, folder))
        return self._systems[house][1]

    def _start(self, house: House, folder: Path) -> contextlib.AbstractAsyncContextManager[Any]:
        if house == "cluster":
            gateways, window = (2, 3) if self._is_short else (3, 10)
            return running_cluster(folder, gateways=gateways, drain_window_seconds=window)
        return running_stack(folder, **(_SHORT_SETTINGS if self._is_short else {}))

    async def _drop(self, house: House) -> None:
        if house in self._systems:
            stack, _ = self._systems.pop(house)
            await stack.aclose()


async def play(scenario: Scenario, seed: int, system: Any, folder: Path, *, is_short: bool) -> None:
    """Play it once, and leave the ledger in the folder."""
    random = Random(f"{scenario.name} {seed}")  # noqa: S311 - repeatable, no secret
    loop = asyncio.get_running_loop()
    begun = loop.time()
    book = Ledger(folder, lambda: loop.time() - begun)
    book.add(Head(0.0, scenario.name, seed, is_short, scenario.kept_seconds))
    crowd = Crowd(
        book,
        Random(random.random()),  # noqa: S311 - the same
        doors=system.direct_doors if scenario.is_direct else system.doors,
        urls=system.urls,
        habits=scenario.habits,
        settle_seconds=scenario.settle_seconds,
    )
    try:
        async with crowd.gathered():
            await scenario.body(Stage(system, crowd, book, random, is_short))
            await system.wait_ready()
            await crowd.settle(system.postgres.url)
            book.add(Measure(book.now(), "seconds", round(book.now(), 1)))
    finally:
        book.close()
