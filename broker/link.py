"""The link for commands: pipelined, each reply settles the oldest unanswered future."""

import asyncio
from collections import deque
from collections.abc import Callable

import hiredis

from broker.errors import BrokerUnavailableError, refusal
from broker.keeper import Keeper
from broker.wire import Reply, Wire

MAX_IN_FLIGHT = 50_000


class Link:
    """Commands to Redis over one connection, in order. `keeper.run` must be running."""

    def __init__(self, url: str, *, timeout_seconds: float = 5.0, name: str = "seance-link") -> None:
        self.keeper = Keeper(url, self, timeout_seconds=timeout_seconds, name=name)
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self.on_up: list[Callable[[], None]] = []

    @property
    def is_up(self) -> bool:
        """Whether Redis can be reached as far as is known."""
        return self._wire is not None

    def call(self, *command: str | bytes | int) -> "asyncio.Future[Reply]":
        """Send a command; the future gives its reply.

        It raises BrokerUnavailableError when Redis is not reachable or refuses to work for now, too much is unanswered,
        or the connection breaks before the answer (then Redis may or may not have carried the command out), and
        BrokerError for any other error reply.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self._wire is None:
            future.set_exception(BrokerUnavailableError("Redis is not reachable"))
        elif len(self._waiting) >= MAX_IN_FLIGHT:
            future.set_exception(BrokerUnavailableError(f"{MAX_IN_FLIGHT} commands are waiting for Redis"))
        else:
            self._waiting.append(future)
            self._wire.send(*command)
        return future

    def up(self, wire: Wire) -> None:
        """Handler: commands can be sent."""
        self._wire = wire
        for callback in self.on_up:
            callback()

    def down(self) -> None:
        """Handler: fail everything that is unanswered."""
        self._wire = None
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(BrokerUnavailableError("the connection to Redis broke before it answered"))

    def reply(self, reply: Reply) -> None:
        """Handler: settle the oldest future."""
        future = self._waiting.popleft()
        if future.done():  # the caller went away
            return
        if isinstance(reply, hiredis.ReplyError):
            future.set_exception(refusal(str(reply)))
        else:
            future.set_result(reply)

    def ping(self, wire: Wire) -> None:
        """Handler: PING, as any command."""
        del wire
        self.call("PING").add_done_callback(_ignore)


def _ignore(future: "asyncio.Future[Reply]") -> None:
    if not future.cancelled():
        future.exception()
