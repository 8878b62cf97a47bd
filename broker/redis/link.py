"""The link: commands and subscriptions over one connection, each reply settles the oldest unanswered call.

RESP3 lets Redis send messages between the replies. One connection for both saves a write of Redis, a wake-up and a
read for each message that a gateway publishes (docs/decisions/0005-one-connection.md).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import hiredis

from broker.errors import BrokerError, BrokerUnavailableError, refusal
from broker.redis.connection import Connection, Reply
from broker.redis.reconnect import Reconnector

MAX_IN_FLIGHT = 50_000

Command = tuple[str | bytes | int, ...]
T = TypeVar("T")

# Called once with the reply or, instead of raising it, an error.
Settle = Callable[[Reply | BrokerError], None]
# Who waits, the script's source if it is one, and what was sent.
_Call = tuple[Settle, str | None, Command]


class Link:
    """Commands to Redis over one connection, in order. `keeper.run` must be running.

    Errors are BrokerUnavailableError when Redis is not reachable or refuses to work for now, too much is unanswered, or
    the connection breaks before the answer (then Redis may or may not have carried the command out), and BrokerError
    for any other error reply.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 5.0, name: str = "seance-link") -> None:
        self.keeper = Reconnector(url, self, timeout_seconds=timeout_seconds, name=name)
        self._loop = asyncio.get_running_loop()
        self._wire: Connection | None = None
        self._waiting: deque[_Call] = deque()
        # Who is told what, set by the composition root: in order, that there is a new connection; a message of a
        # channel; that something was read, and that everything of it was handed out.
        self.on_up: Sequence[Callable[[], None]] = ()
        self.on_message: Callable[[bytes, bytes], None] = _unheard
        self.start_of_read: Callable[[], None] = _nothing
        self.end_of_read: Callable[[], None] = _nothing

    @property
    def is_up(self) -> bool:
        """Whether Redis can be reached as far as is known."""
        return self._wire is not None

    def call(self, *command: str | bytes | int) -> "asyncio.Future[Reply]":
        """Send a command; the future gives its reply, or raises."""
        future = self._loop.create_future()
        self._send(partial(settle_future, future), None, command)
        return future

    def ask(self, read: Callable[[Reply], T], *command: str | bytes | int) -> "asyncio.Future[T]":
        """Send a command; the future gives what `read` makes of the reply, or raises (a BrokerError of `read` too)."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._send(partial(settle_read, future, read), None, command)
        return future

    def send_script(self, settle: Settle, source: str, *command: str | bytes | int) -> None:
        """Send EVALSHA; should Redis have forgotten the script, EVAL with its `source` follows.

        `settle` is called in the same tick as the reply is read: for what happens for each message, a future would cost
        2 µs and another turn of the loop.
        """
        self._send(settle, source, command)

    def _send(self, settle: Settle, source: str | None, command: Command) -> None:
        if self._wire is None:
            settle(BrokerUnavailableError("Redis is not reachable"))
        elif len(self._waiting) >= MAX_IN_FLIGHT:
            settle(BrokerUnavailableError(f"{MAX_IN_FLIGHT} commands are waiting for Redis"))
        else:
            self._waiting.append((settle, source, command))
            self._wire.send(*command)

    def up(self, wire: Connection) -> None:
        """Handler: commands can be sent."""
        self._wire = wire
        for callback in self.on_up:
            callback()

    def down(self) -> None:
        """Handler: fail everything that is unanswered."""
        self._wire = None
        waiting, self._waiting = self._waiting, deque()
        for settle, _, _ in waiting:
            settle(BrokerUnavailableError("the connection to Redis broke before it answered"))

    def reply(self, reply: Reply) -> None:
        """Handler: settle the oldest call."""
        settle, source, command = self._waiting.popleft()
        if not isinstance(reply, hiredis.ReplyError):
            settle(reply)
        elif source is not None and str(reply).startswith("NOSCRIPT"):
            self._send(settle, None, ("EVAL", source, *command[2:]))
        else:
            settle(refusal(str(reply)))

    def push(self, message: list[Any]) -> None:
        """Handler: a message; or a confirmation, which comes in the place of a reply."""
        if message[0] == b"message":
            self.on_message(message[1], message[2])
        elif message[0] in {b"subscribe", b"unsubscribe"}:
            self.reply(message)

    def ping(self, wire: Connection) -> None:
        """Handler: PING, as any command."""
        del wire
        self.call("PING").add_done_callback(_ignore)


def _unheard(channel: bytes, payload: bytes) -> None:
    """Nobody subscribes over this link."""


def _nothing() -> None:
    """Nobody wants to know."""


def settle_read(future: "asyncio.Future[T]", read: Callable[[Reply], T], reply: Reply | BrokerError) -> None:
    """Let a future have what `read` makes of the reply, or raise the error."""
    if future.done():  # the caller went away
        return
    if isinstance(reply, BrokerError):
        future.set_exception(reply)
        return
    try:
        result = read(reply)
    except Exception as error:  # noqa: BLE001 - the caller's to handle: a refusal, or a reply that can't be read
        future.set_exception(error)
    else:
        future.set_result(result)


def settle_future(future: "asyncio.Future[Reply]", reply: Reply | BrokerError) -> None:
    """Let a future have the reply, or raise the error."""
    if future.done():  # the caller went away
        return
    if isinstance(reply, BrokerError):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def _ignore(future: "asyncio.Future[Reply]") -> None:
    if not future.cancelled():
        future.exception()
