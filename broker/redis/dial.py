"""Dials Redis: connects to the address of a URL, switches to RESP3, authenticates and selects the database."""

import asyncio
from typing import Any

import hiredis

from broker.errors import BrokerUnavailableError, translate
from broker.redis.address import Address, parse
from broker.redis.connection import Connection, Receiver, Reply
from broker.redis.futures import ignore_result


async def dial(url: str, receiver: Receiver, *, timeout_seconds: float, name: str) -> Connection:
    """A connection that is ready for commands; Redis shows it under `name`. The time limit covers every step.

    Raises BrokerUnavailableError when Redis can't be reached or refuses the connection, and ValueError for a URL that
    is none of Redis.
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
    handshake.done.result()


def _greeting(address: Address, name: str) -> list[tuple[str | int, ...]]:
    credentials = () if address.password is None else ("AUTH", address.username, address.password)
    hello = ("HELLO", 3, *credentials, "SETNAME", name)
    return [hello, ("SELECT", address.database)] if address.database else [hello]


class _Handshake:
    """Receives the replies to the greeting. `done` is set after the last one, or raises the first error reply."""

    def __init__(self, replies: int) -> None:
        self._missing = replies
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Its error is not wanted when the connection broke first, or the time is over.
        self.done.add_done_callback(ignore_result)

    def start_of_read(self) -> None:
        """Nothing to prepare."""

    def reply(self, reply: Reply) -> None:
        """Count a reply."""
        self._missing -= 1
        if self.done.done():
            return
        if isinstance(reply, hiredis.ReplyError):
            self.done.set_exception(reply)
        elif not self._missing:
            self.done.set_result(None)

    def push(self, message: list[Any]) -> None:
        """Nothing is subscribed yet."""

    def end_of_read(self) -> None:
        """Nothing to finish."""
