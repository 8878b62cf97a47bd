"""The load processes, and the runs that they execute together."""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from bench.load import engine
from bench.load.dialects import Seat
from bench.load.engine import Drained, Plan, Sent
from bench.load.marks import CheckFailedError
from bench.processes import pinned

MOST_PROCESSES = 4
_REPLY_SECONDS = 180.0


class Run(msgspec.Struct, frozen=True):
    """One run: every published message reached every socket, once and in order."""

    messages: int
    deliveries: int
    seconds: float
    drain_seconds: float
    delays_ns: list[int]
    ack_delays_ns: list[int]


class Load:
    """Several load processes with the interface of one."""

    def __init__(self, controls: Sequence[Connection]) -> None:
        self._controls = controls
        # The number of publishers of each group in each process.
        self._publishers: dict[str, list[int]] = {}

    def connect(self, name: str, dialect: str, seats: Sequence[Seat]) -> tuple[int, int]:
        """Open sockets; returns how many joined and how many were refused. Raises CheckFailedError."""
        shares = self._shares(seats)
        before = self._publishers.get(name, [0] * len(shares))
        self._publishers[name] = [
            count + sum(seat.is_publisher for seat in share) for count, share in zip(before, shares, strict=True)
        ]
        replies = self._ask("connect", [(name, dialect, share) for share in shares])
        return sum(let_in for let_in, _ in replies), sum(refused for _, refused in replies)

    def run(self, name: str, plan: Plan) -> Run:
        """Publish, and wait for all events. Raises CheckFailedError unless every socket got every event."""
        sent: list[Sent] = self._ask("publish", [(name, share) for share in self._divided(name, plan)])
        by_room: dict[str, int] = {}
        for share in sent:
            for room, number in share.by_room.items():
                by_room[room] = max(number, by_room.get(room, 0))
        drained: list[Drained] = self._ask("drain", [(name, by_room)] * len(self._controls))
        return Run(
            messages=sum(share.messages for share in sent),
            deliveries=sum(share.deliveries for share in drained),
            seconds=max(share.seconds for share in sent),
            drain_seconds=max(share.seconds for share in drained),
            delays_ns=[delay for share in drained for delay in share.delays_ns],
            ack_delays_ns=[delay for share in drained for delay in share.ack_delays_ns],
        )

    def close(self, name: str) -> None:
        """Close the sockets of one server."""
        self._publishers.pop(name, None)
        self._ask("close", [(name,)] * len(self._controls))

    def _shares(self, seats: Sequence[Seat]) -> list[list[Seat]]:
        """Whole rooms to each process; one room alone is divided."""
        shares: list[list[Seat]] = [[] for _ in self._controls]
        rooms = {room: number for number, room in enumerate(dict.fromkeys(seat.room for seat in seats))}
        for number, seat in enumerate(seats):
            turn = rooms[seat.room] if len(rooms) >= len(shares) else number
            shares[turn % len(shares)].append(seat)
        return shares

    def _divided(self, name: str, plan: Plan) -> list[Plan]:
        """Each process publishes in proportion to its publishers."""
        counts = self._publishers[name]
        parts = [count / max(sum(counts), 1) for count in counts]
        return [
            msgspec.structs.replace(
                plan,
                rate=None if plan.rate is None else plan.rate * part,
                window=max(round(plan.window * part), 1) if part else 0,
            )
            for part in parts
        ]

    def _ask(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        for control, each in zip(self._controls, arguments, strict=True):
            control.send((name, each))
        replies: list[Any] = []
        for control in self._controls:
            if not control.poll(_REPLY_SECONDS):
                raise CheckFailedError(f"a load process gave no answer to `{name}`")
            replies.append(control.recv())
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


@contextlib.contextmanager
def running_load(count: int, cores: frozenset[int]) -> Iterator[Load]:
    """Load processes on these cores, at most 4; they end with the context."""
    context = multiprocessing.get_context("spawn")
    controls: list[Connection] = []
    processes = []
    with pinned(cores):
        for _ in range(min(count, MOST_PROCESSES)):
            ours, theirs = context.Pipe()
            process = context.Process(target=engine.main, args=(theirs,), daemon=True, name=f"load of {os.getpid()}")
            process.start()
            theirs.close()
            controls.append(ours)
            processes.append(process)
    try:
        yield Load(controls)
    finally:
        for control in controls:
            control.close()
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
