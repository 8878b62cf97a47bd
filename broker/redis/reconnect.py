"""Keeps one connection to Redis alive: dials, watches for silence, and dials again with backoff."""

import asyncio
from typing import Protocol

import structlog

from broker.errors import BrokerUnavailableError
from broker.redis.backoff import Backoff
from broker.redis.connection import Connection, Receiver
from broker.redis.dial import dial

FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 2.0
WATCH_SECONDS = 1.0
# A connection that ends sooner was of no use: the next dial waits, as after a dial that failed.
USEFUL_SECONDS = 1.0

log = structlog.get_logger()


class Handler(Receiver, Protocol):
    """The user of the connection; the loop calls every method, so none may block."""

    @property
    def is_waiting(self) -> bool:
        """Whether a command is unanswered."""

    def up(self, connection: Connection) -> None:
        """Redis is connected; send what must come first."""

    def down(self) -> None:
        """The connection is gone; no unanswered command will be answered."""

    def ping(self, connection: Connection) -> None:
        """Send a command, so that Redis answers."""


class Reconnector:
    """Owns the connection of one handler. `run` is a task for the composition root to supervise.

    After silence of `watch_seconds` Redis is asked for a sign of life. A connection on which a command is unanswered,
    and nothing else comes, for `timeout_seconds`, is given up.
    """

    def __init__(
        self,
        url: str,
        handler: Handler,
        *,
        timeout_seconds: float,
        name: str,
        watch_seconds: float = WATCH_SECONDS,
        backoff: Backoff | None = None,
    ) -> None:
        self._url = url
        self._handler = handler
        self._timeout_seconds = timeout_seconds
        self._name = name
        self._watch_seconds = watch_seconds
        self._backoff = backoff or Backoff(FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS)
        self._wire: Connection | None = None
        self._connects_total = 0
        self._changed = asyncio.Event()
        self._attempted = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether Redis is connected now."""
        return self._wire is not None

    @property
    def connects_total(self) -> int:
        """How often Redis was connected: the number of the connection, which rises with each."""
        return self._connects_total

    @property
    def reconnects_total(self) -> int:
        """How often Redis was connected after the first time."""
        return max(0, self._connects_total - 1)

    async def wait_up(self) -> None:
        """Return once Redis is connected."""
        while self._wire is None:
            self._changed.clear()
            await self._changed.wait()

    async def wait_attempted(self) -> None:
        """Return once `run` has dialled for the first time, successfully or not."""
        await self._attempted.wait()

    def redial(self, reason: str) -> None:
        """Drop the connection, if there is one, and dial again: Redis is connected, but the connection is of no use."""
        if self._wire is not None:
            log.warning("redis.dropped", link=self._name, reason=reason)
            self._wire.abort()
            self._wire = None  # the loss is noticed later; until then nobody may take this for a connection

    async def run(self) -> None:
        """Keep a connection until cancelled. Raises ValueError for a URL that is none of Redis."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection = await self.dial()
            except BrokerUnavailableError as error:
                self._attempted.set()
                log.warning("redis.unreachable", link=self._name, reason=str(error))
                await asyncio.sleep(self._backoff.next_seconds())
                continue
            connected_at = loop.time()
            try:
                self.attach(connection)
                await self.watch(connection)
            finally:
                self.detach(connection)
            log.warning("redis.disconnected", link=self._name)
            if loop.time() - connected_at < USEFUL_SECONDS:
                await asyncio.sleep(self._backoff.next_seconds())
            else:
                self._backoff.reset()

    async def dial(self) -> Connection:
        """Dial once. Raises BrokerUnavailableError."""
        return await dial(self._url, self._handler, timeout_seconds=self._timeout_seconds, name=self._name)

    def attach(self, connection: Connection) -> None:
        """Let the handler use this connection."""
        self._wire = connection
        self._connects_total += 1
        self._changed.set()
        self._handler.up(connection)
        self._attempted.set()

    async def watch(self, connection: Connection) -> None:
        """Return once the connection is lost, and give it up when Redis is silent for too long."""
        while not connection.lost.done():
            await asyncio.wait((connection.lost,), timeout=self._look(connection))

    def detach(self, connection: Connection) -> None:
        """Take the connection away from the handler and drop it."""
        self._wire = None
        connection.abort()
        self._handler.down()

    def _look(self, connection: Connection) -> float:
        """Ask for a sign of life, or give the connection up, when it is time; returns the seconds until the next look.

        A half-open connection gives no error, only silence.
        """
        now = asyncio.get_running_loop().time()
        if self._handler.is_waiting:
            left_seconds = max(connection.heard_at, connection.asked_at) + self._timeout_seconds - now
            if left_seconds <= 0:
                connection.abort()
            return min(max(0.0, left_seconds), self._watch_seconds)
        if now - connection.heard_at >= self._watch_seconds:
            self._handler.ping(connection)
        return self._watch_seconds
