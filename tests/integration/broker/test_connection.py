"""Dialling a real Redis, and the connection that comes of it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from urllib.parse import urlsplit

import hiredis
import pytest
import uvloop
from redis import Redis

from broker.errors import BrokerUnavailableError
from broker.redis.connection import Connection, Reply
from broker.redis.dial import dial
from broker.redis.link import Link
from cluster.process.ports import free_port
from tests.certificates import self_signed
from tests.session_state import eventually


class Notes:
    """Receives, and remembers."""

    def __init__(self) -> None:
        self.replies: list[object] = []
        self.messages: list[list[object]] = []
        self.reads = 0

    def start_of_read(self) -> None:
        """The start of a read."""

    def reply(self, reply: Reply) -> None:
        """A reply."""
        self.replies.append(reply)

    def push(self, message: list[object]) -> None:
        """A message."""
        self.messages.append(message)

    def end_of_read(self) -> None:
        """The end of a read."""
        self.reads += 1


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[object, object, None]]


@contextlib.asynccontextmanager
async def listening(
    answer: Answer, *, tls: ssl.SSLContext | None = None, path: Path | None = None
) -> AsyncIterator[int]:
    """A server on the loopback, or on a Unix socket; its port."""
    answering: set[asyncio.Task[None]] = set()

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.add(task)
        with contextlib.suppress(OSError):
            try:
                await answer(reader, writer)
            finally:
                writer.transport.abort()
                await writer.wait_closed()

    if path is not None:
        server = await asyncio.start_unix_server(closing, path)
    else:
        server = await asyncio.start_server(closing, "127.0.0.1", 0, ssl=tls)
    yield 0 if path is not None else server.sockets[0].getsockname()[1]
    server.close()
    await asyncio.gather(*answering)
    await server.wait_closed()


def passing_on(redis_url: str) -> Answer:
    """An answer that passes every byte on to Redis and back, until the client ends the connection."""
    parts = urlsplit(redis_url)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection(parts.hostname, parts.port)

        async def back() -> None:
            while data := await from_redis.read(65_536):
                writer.write(data)

        returning = asyncio.create_task(back())
        try:
            while data := await reader.read(65_536):
                to_redis.write(data)
        finally:
            to_redis.close()
            await to_redis.wait_closed()
            await returning

    return answer


# Dialling


async def test_a_dialled_connection_is_ready_for_commands(redis_url: str) -> None:
    """After dialling Redis knows the connection's name, and only replies to commands reach the receiver."""
    notes = Notes()
    connection = await dial(redis_url, notes, timeout_seconds=5, name="dialled")
    connection.send("CLIENT", "GETNAME")
    connection.send("ECHO", b"\r\n")
    connection.send("NONSENSE")
    await eventually(lambda: len(notes.replies) == 3)
    assert notes.replies[:2] == [b"dialled", b"\r\n"]
    assert isinstance(notes.replies[2], hiredis.ReplyError)
    connection.abort()
    await connection.lost


async def test_the_database_of_the_url_is_selected(redis_url: str) -> None:
    """Commands go to the database that the URL names."""
    notes = Notes()
    connection = await dial(redis_url.removesuffix("/0") + "/3", notes, timeout_seconds=5, name="third")
    connection.send("CLIENT", "INFO")
    await eventually(lambda: notes.replies)
    assert b" db=3 " in bytes(str(notes.replies[0]), "ascii")
    connection.abort()
    await connection.lost


async def test_a_user_of_the_url_authenticates(redis_url: str) -> None:
    """With a user name in the URL Redis knows the connection as that user's."""
    with Redis.from_url(redis_url) as redis:
        redis.acl_setuser("ana", enabled=True, passwords=["+secret"], categories=["+@all"], keys=["*"])
    notes = Notes()
    address = urlsplit(redis_url)
    url = f"redis://ana:secret@{address.hostname}:{address.port}/0"
    connection = await dial(url, notes, timeout_seconds=5, name="ana")
    connection.send("ACL", "WHOAMI")
    await eventually(lambda: notes.replies)
    assert notes.replies == [b"ana"]
    connection.abort()
    await connection.lost


async def test_a_unix_socket_is_dialled(redis_url: str, tmp_path: Path) -> None:
    """A `unix` URL leads to the socket at its path."""
    path = tmp_path / "redis.sock"
    notes = Notes()
    async with listening(passing_on(redis_url), path=path):
        password = urlsplit(redis_url).password
        connection = await dial(f"unix://:{password}@{path}?db=1", notes, timeout_seconds=5, name="local")
        connection.send("PING")
        await eventually(lambda: notes.replies)
        assert notes.replies == [b"PONG"]
        connection.abort()
        await connection.lost


async def test_tls_is_dialled(redis_url: str, tmp_path: Path) -> None:
    """A `rediss` URL encrypts; commands and replies pass as without."""
    certificate, key = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    notes = Notes()
    async with listening(passing_on(redis_url), tls=tls) as port:
        password = urlsplit(redis_url).password
        url = f"rediss://:{password}@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        connection = await dial(url, notes, timeout_seconds=5, name="secure")
        connection.send("ECHO", "x" * 100_000)
        await eventually(lambda: notes.replies)
        assert notes.replies == [b"x" * 100_000]
        connection.abort()
        await connection.lost


async def test_a_certificate_that_nobody_trusts_is_told(redis_url: str, tmp_path: Path) -> None:
    """TLS that fails says that Redis is unavailable, and why."""
    certificate, key = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with listening(passing_on(redis_url), tls=tls) as port:
        with pytest.raises(BrokerUnavailableError, match="certificate verify failed"):
            await dial(f"rediss://127.0.0.1:{port}/0", Notes(), timeout_seconds=5, name="wary")


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ("redis://:wrong@", "Redis refuses the password: WRONGPASS"),
        ("redis://", "Redis refuses the password: NOAUTH"),
    ],
)
async def test_a_wrong_password_is_told(redis_url: str, instead: str, message: str) -> None:
    """A password that is wrong or missing says that Redis is unavailable, and why."""
    url = instead + redis_url.rpartition("@")[2]
    with pytest.raises(BrokerUnavailableError, match=message):
        await dial(url, Notes(), timeout_seconds=5, name="stranger")


async def test_a_database_that_is_not_there_is_told(redis_url: str) -> None:
    """An error reply to any step of dialling says that Redis is unavailable, and why."""
    with pytest.raises(BrokerUnavailableError, match="Redis refuses the connection: ERR DB index is out of range"):
        await dial(redis_url.removesuffix("/0") + "/9999", Notes(), timeout_seconds=5, name="lost")


async def test_a_server_without_resp3_is_told() -> None:
    """A server that does not know the protocol says so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"-NOPROTO unsupported protocol version\r\n")
        await reader.read(4096)

    async with listening(answer) as port:
        with pytest.raises(BrokerUnavailableError, match="does not speak RESP3, which needs version 6 or newer"):
            await dial(f"redis://127.0.0.1:{port}", Notes(), timeout_seconds=5, name="old")


async def test_a_server_that_says_nothing_is_given_up() -> None:
    """The time limit covers the whole dialling, the answer to the greeting too."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            assert not writer.is_closing()

    async with listening(answer) as port:
        with pytest.raises(BrokerUnavailableError, match="no answer in time"):
            await dial(f"redis://127.0.0.1:{port}", Notes(), timeout_seconds=0.1, name="patient")


async def test_a_server_that_hangs_up_is_told() -> None:
    """A connection that ends during the greeting says so at once."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.close()

    async with listening(answer) as port:
        with pytest.raises(BrokerUnavailableError, match="Redis closed the connection"):
            await dial(f"redis://127.0.0.1:{port}", Notes(), timeout_seconds=5, name="dropped")


async def test_a_port_where_nobody_listens_is_told() -> None:
    """A refused connection says that Redis is not reachable."""
    with pytest.raises(BrokerUnavailableError, match="Redis is not reachable: "):
        await dial(f"redis://127.0.0.1:{free_port()}", Notes(), timeout_seconds=5, name="alone")


def test_dialling_on_uvloop(redis_url: str, tmp_path: Path) -> None:
    """On the loop of the product TCP and TLS are dialled, errors are told, and a cancelled dial leaves nothing."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_a_dialled_connection_is_ready_for_commands(redis_url))
        runner.run(test_tls_is_dialled(redis_url, tmp_path))
        runner.run(test_a_certificate_that_nobody_trusts_is_told(redis_url, tmp_path))
        runner.run(test_a_unix_socket_is_dialled(redis_url, tmp_path))
        runner.run(test_a_server_that_says_nothing_is_given_up())
        runner.run(test_a_server_that_hangs_up_is_told())
        runner.run(test_a_port_where_nobody_listens_is_told())
        runner.run(_cancelled_dials(redis_url))


async def test_a_cancelled_dial_leaves_nothing(redis_url: str) -> None:
    """Whatever a dial has come to, it ends when it is cancelled, and Redis has no connection of it."""
    await _cancelled_dials(redis_url)


async def _cancelled_dials(redis_url: str) -> None:
    for ticks in range(40):
        dialling = asyncio.create_task(dial(redis_url, Notes(), timeout_seconds=5, name="cancelled"))
        for _ in range(ticks):
            await asyncio.sleep(0)  # one loop tick
        if dialling.done():
            dialling.result().abort()
            continue
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(dialling, 3)
    with Redis.from_url(redis_url) as redis:
        await eventually(lambda: "cancelled" not in [client["name"] for client in redis.client_list()])


# The connection


async def test_no_command_is_sent_after_the_end(link: Link) -> None:
    """A command that is sent in the tick in which the connection ends is dropped, before or after the end."""
    connection = link._wire
    assert isinstance(connection, Connection)
    connection.send("INCR", "count")
    connection.abort()
    connection.send("INCR", "count")
    await connection.lost
    await eventually(lambda: link._wire not in (None, connection))
    assert await link.call("GET", "count") is None


async def test_an_end_before_the_flush_drops_the_queue(redis_url: str) -> None:
    """Queued commands are forgotten when the connection ends first."""
    connection = await dial(redis_url, Notes(), timeout_seconds=5, name="ending")
    connection.abort()
    connection.send("PING")
    await connection.lost
    assert connection._out == []


async def test_pushed_messages_are_no_replies(redis_url: str) -> None:
    """Confirmations and messages of subscriptions come apart from the replies, and each read is followed by its end."""
    notes = Notes()
    connection = await dial(redis_url, notes, timeout_seconds=5, name="pushed")
    connection.send("SUBSCRIBE", "one")
    connection.send("PUBLISH", "one", "text")
    await eventually(lambda: notes.replies)
    await eventually(lambda: len(notes.messages) == 2)
    assert notes.messages == [[b"subscribe", b"one", 1], [b"message", b"one", b"text"]]
    assert notes.replies == [1]
    assert 1 <= notes.reads <= 3
    connection.abort()
    await connection.lost


async def test_commands_sent_while_an_answer_is_awaited_leave_together(redis_url: str) -> None:
    """Commands that are sent before Redis has answered leave with the next batch, in the order sent."""
    notes = Notes()
    connection = await dial(redis_url, notes, timeout_seconds=5, name="batches")
    connection.send("ECHO", "1")
    await asyncio.sleep(0)  # the first has left now
    connection.send("ECHO", "2")
    connection.send("ECHO", "3")
    await asyncio.sleep(0)
    assert len(connection._out) == 2
    await eventually(lambda: len(notes.replies) == 3)
    assert notes.replies == [b"1", b"2", b"3"]
    assert connection._out == []
    connection.abort()
    await connection.lost
