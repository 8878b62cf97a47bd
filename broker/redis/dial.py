"""Dials Redis: connects to the address of a URL, switches to RESP3, authenticates and selects the database.

A connection counts only when Redis serves it: a Redis that loads its data, runs an endless script, or is a replica, is
dialled again later, so that nobody asks a question in vain.
"""

import asyncio
from typing import Any

import hiredis

from broker.errors import BrokerUnavailableError, NotPrimaryError, translate
from broker.redis.address import Address, parse
from broker.redis.connection import Connection, Receiver, Reply
from broker.redis.futures import ignore_result


async def dial(url: str, receiver: Receiver, *, timeout_seconds: float, name: str) -> Connection:
    """A connection that is ready for commands; Redis shows it under `name`. The time limit covers every step.

    Raises BrokerUnavailableError when Redis can't be reached or refuses to serve the connection, NotPrimaryError when
    it is a replica, and ValueError for a URL that is none of Redis.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _dial(parse(url), receiver, name)
    except OSError as exc:
        raise translate(exc) from exc
    except hiredis.ReplyError as exc:
        error = translate(exc)
        if isinstance(error, BrokerUnavailableError):
            raise error from exc
        # Whatever Redis refuses here, an operator mends it there: no connection is no reason to end the process.
        raise BrokerUnavailableError(f"Redis refuses the connection: {exc}") from exc


async def _dial(address: Address, receiver: Receiver, name: str) -> Connection:
    loop = asyncio.get_running_loop()
    commands = _greeting(address, name)
    handshake = _Handshake(len(commands))
    if address.path:
        _, connection = await loop.create_unix_connection(lambda: Connection(handshake), address.path)
    else:
        _, connection = await loop.create_connection(
            lambda: Connection(handshake), address.host, address.port, ssl=address.tls
        )
    try:
        await _greet(connection, handshake, commands)
    except BaseException:
        connection.abort()
        raise
    connection.hand_over(receiver)
    return connection


async def _greet(connection: Connection, handshake: "_Handshake", commands: list[tuple[str | int, ...]]) -> None:
    for command in commands:
        connection.send(*command)
    await asyncio.wait((handshake.done, connection.lost), return_when=asyncio.FIRST_COMPLETED)
    if not handshake.done.done():
        raise ConnectionResetError("Redis closed the connection")
    hello = handshake.done.result()
    if isinstance(hello, dict) and hello.get(b"role") == b"replica":
        raise NotPrimaryError("Redis is not the primary: it is a replica, which takes no writes")


def _greeting(address: Address, name: str) -> list[tuple[str | int, ...]]:
    credentials = () if address.password is None else ("AUTH", address.username, address.password)
    hello = ("HELLO", 3, *credentials, "SETNAME", name)
    select: list[tuple[str | int, ...]] = [("SELECT", address.database)] if address.database else []
    # HELLO and SELECT are answered while Redis loads its data; PING is not.
    return [hello, *select, ("PING",)]


class _Handshake:
    """Receives the replies to the greeting. `done` gives the first after the last, or raises the first error reply."""

    def __init__(self, replies: int) -> None:
        self._missing = replies
        self._first: Reply = None
        self.done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        # Its error is not wanted when the connection broke first, or the time is over.
        self.done.add_done_callback(ignore_result)

    def start_of_read(self) -> None:
        """Nothing to prepare."""

    def reply(self, reply: Reply) -> None:
        """Count a reply."""
        self._missing -= 1
        if self._first is None:
            self._first = reply
        if self.done.done():
            return
        if isinstance(reply, hiredis.ReplyError):
            self.done.set_exception(reply)
        elif not self._missing:
            self.done.set_result(self._first)

    def push(self, message: list[Any]) -> None:
        """Nothing is subscribed yet."""

    def end_of_read(self) -> None:
        """Nothing to finish."""
