"""Makes one attack after the other, on a stack that they share as long as nothing was missed."""

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from tests.attack import attacker, witness
from tests.attack.attack import Attack, Order
from tests.attack.observer import Observer, redis_bytes
from tests.attack.record import Record, figures, newcomers, troubles
from tests.attack.result import LONG, SHORT, Bar, Memory, Result
from tests.attack.stack import Stack, running_stack, witness_order
from tests.services import Services

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 60.0


class Form(msgspec.Struct, frozen=True):
    """How long the phases are, and what must hold."""

    before_seconds: float
    attack_seconds: float
    settle_seconds: float
    after_seconds: float
    bar: Bar


LONG_FORM: Final = Form(3.0, 15.0, 1.0, 3.0, LONG)
SHORT_FORM: Final = Form(0.5, 3.0, 0.2, 0.5, SHORT)


class Runner:
    """Makes attacks; logs are below `folder`. A stack on which something was missed is not used again."""

    def __init__(self, folder: Path, form: Form, services: Services | None = None) -> None:
        self._folder = folder
        self._form = form
        self._services = services
        self._open = contextlib.ExitStack()
        self._stack: Stack | None = None
        self._number = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        self._drop()

    def run(self, attack: Attack, sockets: int) -> Result:
        """Make the attack. Raises what went wrong with the run itself."""
        number = next(self._number)
        try:
            result = _play(self._running(number), attack, sockets, f"127.0.3.{1 + number % 250}", self._form)
        except BaseException:
            self._drop()
            raise
        if result.misses(self._form.bar):
            self._drop()
        return result

    def _running(self, number: int) -> Stack:
        if self._stack is None:
            folder = self._folder / f"stack-{number}"
            folder.mkdir(parents=True)
            self._stack = self._open.enter_context(running_stack(folder, self._services))
        return self._stack

    def _drop(self) -> None:
        self._stack = None
        self._open.close()


def _play(stack: Stack, attack: Attack, sockets: int, source: str, form: Form) -> Result:
    sessions = stack.create_sessions(attack.sessions, attack.fields)
    order = Order(attack.name, sockets, stack.ports, sessions, source)
    observer = Observer(stack)
    seconds = min(form.attack_seconds, attack.seconds)
    with _process(witness.main, witness_order(stack)) as watching, observer.watching():
        _answer(watching, _START_SECONDS)
        redis_before, leases_before = redis_bytes(stack.services.redis_url), stack.lost_leases()
        times = [time.monotonic()]
        times.append(_pass(form.before_seconds))
        with _process(attacker.main, order) as attacking:
            _pass(seconds)
            attacking.send(None)
            times.append(time.monotonic())
            tally = _answer(attacking, _END_SECONDS)
        times.append(_pass(form.settle_seconds))
        times.append(_pass(form.after_seconds))
        redis_after, lost_leases = redis_bytes(stack.services.redis_url), stack.lost_leases() - leases_before
        watching.send(None)
        record: Record = _answer(watching, _END_SECONDS)
    begin, attacked, ceased, settled, end = times
    return Result(
        attack=attack.name,
        sockets=sockets,
        before=figures(record, begin, attacked),
        during=figures(record, attacked, ceased),
        after=figures(record, settled, end),
        troubles=troubles(record, attacked, record.ended_at),
        newcomers=newcomers(record, attacked, ceased),
        lost_leases=lost_leases,
        memory=Memory(
            before=observer.most_memory(begin, attacked),
            during=observer.most_memory(attacked, settled),
            after=observer.most_memory(settled, end),
            redis_before=redis_before,
            redis_after=redis_after,
        ),
        loop_lag=observer.most_lag(attacked, end),
        tally=tally,
    )


def _pass(seconds: float) -> float:
    """Let the phase pass; returns when it ended."""
    time.sleep(seconds)
    return time.monotonic()


@contextlib.contextmanager
def _process(main: Callable[..., None], order: object) -> Iterator[Connection]:
    """A process of ours with this order, and the connection to it; killed at the end, if it still runs."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=main, args=(theirs, order), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(1)
        process.kill()
        process.join()


def _answer(connection: Connection, seconds: float) -> Any:
    """The process's answer. Raises TimeoutError, EOFError."""
    if not connection.poll(seconds):
        raise TimeoutError(f"no answer within {seconds:g} s")
    return connection.recv()
