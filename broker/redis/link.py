"""The link: commands and subscriptions over one connection; each reply settles the oldest unanswered call.

RESP3 lets Redis send messages between the replies. One connection for both saves a write of Redis, a wake-up and a
read for each message that a gateway publishes (docs/decisions/0005-one-connection.md).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import hiredis

from broker.errors import BrokerError, BrokerUnavailableError, NotPrimaryError, translate
from broker.redis.backoff import Backoff
from broker.redis.connection import Connection, Reply
from broker.redis.futures import ignore_result
from broker.redis.reconnect import WATCH_SECONDS, Reconnector
from broker.redis.reload import Reload

MAX_IN_FLIGHT = 50_000

Command = tuple[str | bytes | int, ...]
T = TypeVar("T")

# Called once with the reply or, instead of raising it, an error.
Settle = Callable[[Reply | BrokerError], None]
# Who waits, the script's source if the command calls a script, and the command.
_Call = tuple[Settle, str | None, Command]


class Link:
    """Commands to Redis over one connection, in order. `keeper.run` must be running; `connected` is for short work.

    Errors are BrokerUnavailableError when Redis is not reachable or refuses to work for now, too many commands are
    unanswered, or the connection breaks before the answer (then Redis may or may not have run the command), and
    BrokerError for any other error reply.

    Redis answers the commands of one connection in order: a command that blocks needs a link of its own. An answer that
    shows that Redis is a replica ends the connection, and the link dials again.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        name: str = "seance-link",
        max_in_flight: int = MAX_IN_FLIGHT,
        watch_seconds: float = WATCH_SECONDS,
        backoff: Backoff | None = None,
    ) -> None:
        self.keeper = Reconnector(
            url, self, timeout_seconds=timeout_seconds, name=name, watch_seconds=watch_seconds, backoff=backoff
        )
        self._loop = asyncio.get_running_loop()
        self._max_in_flight = max_in_flight
        self._wire: Connection | None = None
        self._waiting: deque[_Call] = deque()
        self._reload: Reload[_Call] | None = None
        # Callbacks, set by the composition root. In order: a new connection is up, a message of a channel came, data
        # arrived, and every reply and message of one read was handed out.
        self.on_up: Sequence[Callable[[], None]] = ()
        self.on_message: Callable[[bytes, bytes], None] = _unheard
        self.start_of_read: Callable[[], None] = _nothing
        self.end_of_read: Callable[[], None] = _nothing

    @property
    def is_up(self) -> bool:
        """Whether Redis is connected, as far as is known."""
        return self._wire is not None

    @property
    def is_waiting(self) -> bool:
        """Whether a call is unanswered."""
        return bool(self._waiting)

    def call(self, *command: str | bytes | int) -> "asyncio.Future[Reply]":
        """Send a command; the future gives its reply, or raises."""
        future = self._loop.create_future()
        self._send(partial(settle_future, future), None, command)
        return future

    def ask(self, read: Callable[[Reply], T], *command: str | bytes | int) -> "asyncio.Future[T]":
        """Send a command; the future gives the result of `read` for the reply, or raises (an error of `read` too)."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._send(partial(settle_read, future, read), None, command)
        return future

    def send_script(self, settle: Settle, source: str, *command: str | bytes | int) -> None:
        """Send EVALSHA; when Redis has forgotten the script, EVAL with its `source` follows, in the order of the calls.

        Then a call that would run after a later one of the same script and first key, which another process has
        helped through by loading the script, fails with BrokerUnavailableError; it was not carried out.

        `settle` is called in the tick in which the reply is read: a future would cost 2 µs and another turn of the loop
        for each message.
        """
        self._send(settle, source, command)

    def _send(self, settle: Settle, source: str | None, command: Command) -> None:
        if self._wire is None:
            settle(BrokerUnavailableError("Redis is not reachable"))
        elif len(self._waiting) >= self._max_in_flight:
            settle(BrokerUnavailableError(f"{self._max_in_flight} commands are waiting for Redis"))
        elif self._reload is not None and source is not None:
            self._hold(self._reload, (settle, source, command))
        else:
            self._waiting.append((settle, source, command))
            self._wire.send(*command)

    def _hold(self, reload: Reload[_Call], call: _Call) -> None:
        if len(reload) >= self._max_in_flight:
            call[0](BrokerUnavailableError(f"{self._max_in_flight} commands are waiting for Redis"))
        else:
            reload.hold(call)

    def up(self, connection: Connection) -> None:
        """Handler: commands can be sent."""
        self._wire = connection
        for callback in self.on_up:
            callback()

    def down(self) -> None:
        """Handler: fail every unanswered call."""
        self._wire = None
        waiting, self._waiting = [*self._waiting], deque()
        if self._reload is not None:
            waiting += [*self._reload.refused(), *self._reload.held()]
            self._reload = None
        for settle, _, _ in waiting:
            settle(BrokerUnavailableError("the connection to Redis broke before it answered"))

    def reply(self, reply: Reply) -> None:
        """Handler: settle the oldest call."""
        call = self._waiting.popleft()
        if self._reload is not None:
            self._follow(self._reload, call, reply)
        elif not isinstance(reply, hiredis.ReplyError):
            call[0](reply)
        elif _is_forgotten(call, reply):
            self._reload = Reload(len(self._waiting) + 1)
            self._follow(self._reload, call, reply)
        else:
            self._refuse(call[0], reply)

    def _follow(self, reload: Reload[_Call], call: _Call, reply: Reply) -> None:
        """Redis has forgotten its scripts: settle the call, and send refused ones again once their order is certain."""
        settle, source, command = call
        subject = command[1:4:2]  # digest and first key
        reload.answered()
        if not isinstance(reply, hiredis.ReplyError):
            for overtaken, _, _ in reload.passed(subject) if source is not None else ():
                overtaken(BrokerUnavailableError("Redis had forgotten its scripts, and nothing was done"))
            settle(reply)
        elif _is_forgotten(call, reply):
            reload.refuse(subject, call)
        else:
            self._refuse(settle, reply)
        if reload.is_over:
            self._reload = None
            for again, script, refused in reload.refused():
                assert script is not None
                self._send(again, None, ("EVAL", script, *refused[2:]))
            for held in reload.held():
                self._send(*held)

    def _refuse(self, settle: Settle, reply: hiredis.ReplyError) -> None:
        error = translate(reply)
        settle(error)
        if isinstance(error, NotPrimaryError):
            # Every later command would be refused too, while the address may lead to the primary by now.
            self.keeper.redial(str(error))

    def push(self, message: list[Any]) -> None:
        """Handler: a message, or a confirmation, which comes in the place of a reply."""
        if message[0] == b"message":
            self.on_message(message[1], message[2])
        elif message[0] in {b"subscribe", b"unsubscribe"}:
            self.reply(message)

    def ping(self, connection: Connection) -> None:
        """Handler: send PING, as any command."""
        del connection
        self.call("PING").add_done_callback(ignore_result)


@asynccontextmanager
async def connected(url: str, *, timeout_seconds: float, name: str) -> AsyncIterator[Link]:
    """A link for a short piece of work: it dials once, and once its connection is lost every call fails.

    Raises BrokerUnavailableError when Redis can't be reached.
    """
    link = Link(url, timeout_seconds=timeout_seconds, name=name)
    connection = await link.keeper.dial()
    link.keeper.attach(connection)
    watching = asyncio.create_task(link.keeper.watch(connection), name=f"{name}-watch")
    connection.lost.add_done_callback(lambda _: link.keeper.detach(connection))
    try:
        yield link
    finally:
        watching.cancel()
        link.keeper.detach(connection)
        await asyncio.wait((watching,))


def _is_forgotten(call: _Call, error: hiredis.ReplyError) -> bool:
    """Whether Redis has forgotten the script that this call names by digest."""
    return call[1] is not None and str(error).startswith("NOSCRIPT")


def _unheard(channel: bytes, payload: bytes) -> None:
    """The link has no subscriber."""


def _nothing() -> None:
    """The link has no reader to tell."""


def settle_read(future: "asyncio.Future[T]", read: Callable[[Reply], T], reply: Reply | BrokerError) -> None:
    """Give a future the result of `read` for the reply, or the error."""
    if future.done() or isinstance(reply, BrokerError):
        settle_future(future, reply)
        return
    try:
        result = read(reply)
    except Exception as error:  # noqa: BLE001 - the caller's to handle: a refusal, or a reply that can't be read
        future.set_exception(error)
    else:
        future.set_result(result)


def settle_future(future: "asyncio.Future[Reply]", reply: Reply | BrokerError) -> None:
    """Give a future the reply or the error."""
    if future.done():  # the caller was cancelled
        return
    if isinstance(reply, BrokerError):
        future.set_exception(reply)
    else:
        future.set_result(reply)
