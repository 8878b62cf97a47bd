"""Dialling Redis: every kind of URL, every way in which dialling fails, and cancellation."""

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
from broker.redis.dial import dial
from cluster.process.ports import free_port
from tests.certificates import self_signed
from tests.redis_receiver import RecordingReceiver
from tests.waiting import eventually

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


async def test_a_dialled_connection_is_ready_for_commands(redis_url: str) -> None:
    """After dialling Redis knows the connection's name, and only replies to commands reach the receiver."""
    received = RecordingReceiver()
    connection = await dial(redis_url, received, timeout_seconds=5, name="dialled")
    connection.send("CLIENT", "GETNAME")
    connection.send("ECHO", b"\r\n")
    connection.send("NONSENSE")
    await eventually(lambda: len(received.replies) == 3)
    assert received.replies[:2] == [b"dialled", b"\r\n"]
    assert isinstance(received.replies[2], hiredis.ReplyError)
    connection.abort()
    await connection.lost


async def test_the_database_of_the_url_is_selected(redis_url: str) -> None:
    """Commands go to the database that the URL names."""
    received = RecordingReceiver()
    connection = await dial(redis_url.removesuffix("/0") + "/3", received, timeout_seconds=5, name="third")
    connection.send("CLIENT", "INFO")
    await eventually(lambda: received.replies)
    assert b" db=3 " in bytes(str(received.replies[0]), "ascii")
    connection.abort()
    await connection.lost


async def test_a_user_of_the_url_authenticates(redis_url: str) -> None:
    """With a user name in the URL Redis knows the connection as that user's."""
    with Redis.from_url(redis_url) as redis:
        redis.acl_setuser("ana", enabled=True, passwords=["+secret"], categories=["+@all"], keys=["*"])
    received = RecordingReceiver()
    address = urlsplit(redis_url)
    url = f"redis://ana:secret@{address.hostname}:{address.port}/0"
    connection = await dial(url, received, timeout_seconds=5, name="ana")
    connection.send("ACL", "WHOAMI")
    await eventually(lambda: received.replies)
    assert received.replies == [b"ana"]
    connection.abort()
    await connection.lost


async def test_a_unix_socket_is_dialled(redis_url: str, tmp_path: Path) -> None:
    """A `unix` URL leads to the socket at its path."""
    path = tmp_path / "redis.sock"
    received = RecordingReceiver()
    async with listening(passing_on(redis_url), path=path):
        password = urlsplit(redis_url).password
        connection = await dial(f"unix://:{password}@{path}?db=1", received, timeout_seconds=5, name="local")
        connection.send("PING")
        await eventually(lambda: received.replies)
        assert received.replies == [b"PONG"]
        connection.abort()
        await connection.lost


async def test_tls_is_dialled(redis_url: str, tmp_path: Path) -> None:
    """A `rediss` URL encrypts; commands and replies pass as without."""
    certificate, key = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    received = RecordingReceiver()
    async with listening(passing_on(redis_url), tls=tls) as port:
        password = urlsplit(redis_url).password
        url = f"rediss://:{password}@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        connection = await dial(url, received, timeout_seconds=5, name="secure")
        connection.send("ECHO", "x" * 100_000)
        await eventually(lambda: received.replies)
        assert received.replies == [b"x" * 100_000]
        connection.abort()
        await connection.lost


async def test_a_certificate_that_nobody_trusts_is_told(redis_url: str, tmp_path: Path) -> None:
    """TLS that fails says that Redis is unavailable, and why."""
    certificate, key = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with listening(passing_on(redis_url), tls=tls) as port:
        with pytest.raises(BrokerUnavailableError, match="certificate verify failed"):
            await dial(f"rediss://127.0.0.1:{port}/0", RecordingReceiver(), timeout_seconds=5, name="wary")


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
        await dial(url, RecordingReceiver(), timeout_seconds=5, name="stranger")


async def test_a_database_that_is_not_there_is_told(redis_url: str) -> None:
    """An error reply to any step of dialling says that Redis is unavailable, and why."""
    with pytest.raises(BrokerUnavailableError, match="Redis refuses the connection: ERR DB index is out of range"):
        await dial(redis_url.removesuffix("/0") + "/9999", RecordingReceiver(), timeout_seconds=5, name="lost")


async def test_a_server_without_resp3_is_told() -> None:
    """A server that does not know the protocol says so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"-NOPROTO unsupported protocol version\r\n")
        await reader.read(4096)

    async with listening(answer) as port:
        with pytest.raises(BrokerUnavailableError, match="does not speak RESP3, which needs version 6 or newer"):
            await dial(f"redis://127.0.0.1:{port}", RecordingReceiver(), timeout_seconds=5, name="old")


async def test_a_server_that_says_nothing_is_given_up() -> None:
    """The time limit covers the whole dialling, the answer to the greeting too."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            assert not writer.is_closing()

    async with listening(answer) as port:
        with pytest.raises(BrokerUnavailableError, match="no answer in time"):
            await dial(f"redis://127.0.0.1:{port}", RecordingReceiver(), timeout_seconds=0.1, name="patient")


async def test_a_server_that_hangs_up_is_told() -> None:
    """A connection that ends during the greeting says so at once."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.close()

    async with listening(answer) as port:
        with pytest.raises(BrokerUnavailableError, match="Redis closed the connection"):
            await dial(f"redis://127.0.0.1:{port}", RecordingReceiver(), timeout_seconds=5, name="dropped")


async def test_a_port_where_nobody_listens_is_told() -> None:
    """A refused connection says that Redis is not reachable."""
    with pytest.raises(BrokerUnavailableError, match="Redis is not reachable: "):
        await dial(f"redis://127.0.0.1:{free_port()}", RecordingReceiver(), timeout_seconds=5, name="alone")


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
    """A dial that is cancelled at any point ends, and leaves no connection in Redis."""
    await _cancelled_dials(redis_url)


async def _cancelled_dials(redis_url: str) -> None:
    for ticks in range(40):
        dialling = asyncio.create_task(dial(redis_url, RecordingReceiver(), timeout_seconds=5, name="cancelled"))
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
