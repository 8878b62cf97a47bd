"""Keeps one wire to Redis alive: dials, watches for silence, and dials again with jittered backoff."""

import asyncio
import random
from typing import Protocol

import structlog

from broker.errors import BrokerUnavailableError
from broker.redis.connection import Connection, Receiver, dial

FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 2.0
WATCH_SECONDS = 1.0

log = structlog.get_logger()


class Handler(Receiver, Protocol):
    """What uses the wire; every method is called on the loop and must not block."""

    def up(self, wire: Connection) -> None:
        """A wire is connected; send what must come first."""

    def down(self) -> None:
        """The wire is gone; whatever was unanswered never will be."""

    def ping(self, wire: Connection) -> None:
        """Send something that makes Redis answer."""


class Reconnector:
    """Owns the wire of one handler. `run` is a task for the composition root to supervise."""

    def __init__(self, url: str, handler: Handler, *, timeout_seconds: float, name: str) -> None:
        self._url = url
        self._handler = handler
        self._timeout_seconds = timeout_seconds
        self._name = name
        self._wire: Connection | None = None
        self._connects_total = 0
        self._changed = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether a wire is connected now."""
        return self._wire is not None

    @property
    def reconnects_total(self) -> int:
        """How often a wire was connected after the first one."""
        return max(0, self._connects_total - 1)

    async def wait_up(self) -> None:
        """Return once a wire is connected."""
        while self._wire is None:
            self._changed.clear()
            await self._changed.wait()

    def redial(self) -> None:
        """Drop the wire, if there is one, and dial anew: it is connected, but of no use."""
        if self._wire is not None:
            self._wire.abort()
            self._wire = None  # its end is noticed later, and nobody shall take it for a connection until then

    async def run(self) -> None:
        """Keep a wire until cancelled."""
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                wire = await dial(self._url, self._handler, timeout_seconds=self._timeout_seconds, name=self._name)
            except BrokerUnavailableError as error:
                log.warning("redis.unreachable", link=self._name, reason=str(error))
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                delay = min(delay * 2, LONGEST_DELAY_SECONDS)
                continue
            delay = FIRST_DELAY_SECONDS
            await self._keep(wire)
            log.warning("redis.disconnected", link=self._name)

    async def _keep(self, wire: Connection) -> None:
        self._wire = wire
        self._connects_total += 1
        self._changed.set()
        try:
            self._handler.up(wire)
            while not wire.lost.done():
                await asyncio.wait((wire.lost,), timeout=WATCH_SECONDS)
                self._watch(wire)
        finally:
            self._wire = None
            wire.abort()
            self._handler.down()

    def _watch(self, wire: Connection) -> None:
        # A half-open connection gives no error, only silence: ask, and give up when nothing comes.
        silent_seconds = asyncio.get_running_loop().time() - wire.heard_at
        if silent_seconds > self._timeout_seconds + WATCH_SECONDS:
            wire.abort()
        elif silent_seconds > WATCH_SECONDS:
            self._handler.ping(wire)
