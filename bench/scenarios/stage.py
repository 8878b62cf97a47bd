"""The arguments of every scenario, and the shared measurement: CPU of all servers in the path, around a checked run."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench.load.engine import Plan
from bench.load.marks import CheckFailedError
from bench.load.pool import Load, Run
from bench.peers import catalogue
from bench.peers.catalogue import Peer, Place, SkippedError
from bench.processes import Cores, Server, cpu_of
from bench.product import Backend
from bench.statistics import Summary, summarise

MICROSECONDS = 1e6
KEEPS_UP = 0.97
PROMPT_SECONDS = 0.5


class Stage(msgspec.Struct, frozen=True):
    """The arguments of one scenario."""

    folder: Path
    cores: Cores
    load: Load
    is_quick: bool
    began_at: float

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"  {time.monotonic() - self.began_at:6.1f} s  {text}", file=sys.stderr, flush=True)  # noqa: T201 - progress

    def pick(self, full: Any, quick: Any) -> Any:
        """The first value in a full run, the second with QUICK."""
        return quick if self.is_quick else full


class Measured(msgspec.Struct, frozen=True):
    """One round of one server; CPU in microseconds, of all its processes and Redis."""

    cpu_us: float
    messages: int
    deliveries: int
    rate: float
    drain_seconds: float
    offered: float | None

    @property
    def per_delivery(self) -> float:
        """CPU µs for each event at each socket."""
        return self.cpu_us / self.deliveries

    @property
    def per_message(self) -> float:
        """CPU µs for each message published."""
        return self.cpu_us / self.messages

    @property
    def keeps_up(self) -> bool:
        """Whether the server delivered as fast as the load published."""
        return self.drain_seconds < PROMPT_SECONDS and (self.offered is None or self.rate >= KEEPS_UP * self.offered)


class Contender(msgspec.Struct, frozen=True):
    """A server that takes part, and the processes in its path."""

    peer: Peer
    dialect: str
    path: Sequence[Server]

    @property
    def name(self) -> str:
        """The server's name in the tables."""
        return self.peer.name


def contender(peer: Peer, backend: Backend) -> Contender:
    """The peer, with Redis in its path if the peer uses Redis."""
    return Contender(peer, peer.name, (*peer.servers, *((backend.redis,) if peer.uses_redis else ())))


@contextmanager
def started(
    stage: Stage, backend: Backend, names: Sequence[str], cores: frozenset[int], count: int = 1
) -> Iterator[tuple[list[Contender], dict[str, str]]]:
    """The running peers, and the reasons of peers that can't run; the peers end with the context."""
    place = Place(stage.folder, cores, backend.redis_url)
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        peers: list[Peer] = []
        for name in names:
            try:
                peer = catalogue.start(name, place, count)
            except SkippedError as error:
                stage.say(f"{name} is skipped: {error}")
                skipped[name] = str(error)
            else:
                stack.callback(peer.stop)
                peers.append(peer)
        yield [contender(peer, backend) for peer in peers], skipped


def measure(load: Load, one: Contender, plan: Plan) -> tuple[Measured, Run]:
    """One checked run, and the CPU that it took. Raises CheckFailedError."""
    before = cpu_of(one.path)
    run = load.run(one.name, plan)
    cpu_us = (cpu_of(one.path) - before) * MICROSECONDS
    rate = run.messages / max(run.seconds, 1e-9)
    return Measured(cpu_us, run.messages, run.deliveries, rate, run.drain_seconds, plan.rate), run


def measure_or_drop(stage: Stage, one: Contender, plan: Plan, failed: dict[str, str]) -> Measured | None:
    """The same for each server that has not failed yet; a failed peer takes no further part. Raises for the product."""
    if one.name in failed:
        return None
    try:
        return measure(stage.load, one, plan)[0]
    except CheckFailedError as error:
        if one.name == "seance":
            raise
        stage.say(f"{one.name} FAILED and is left out from here on: {error}")
        failed[one.name] = str(error)
        stage.load.close(one.name)
        return None


def table(rounds: dict[str, list[Measured]], value: Callable[[Measured], float]) -> dict[str, Summary]:
    """The summary of one value for each server."""
    return {name: summarise([value(each) for each in measured]) for name, measured in rounds.items()}


def ratio_of(summaries: dict[str, Summary], peer: str) -> float | None:
    """The product's median ÷ the peer's; None when one of them did not run."""
    ours, theirs = summaries.get("seance"), summaries.get(peer)
    return None if ours is None or theirs is None or not theirs.median else ours.median / theirs.median
