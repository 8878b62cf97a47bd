"""uvicorn treats detached sockets like its own: shutdown, registry, TLS, proxies, limits, access log."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.protocol.frames import close_frame
from tests.conformance.echo import CLOSE_SECONDS, Echo, echo_app, serving
from tests.frames import client_frame, text
from tests.raw_client import HEADERS, request

DEADLINE_SECONDS = 10.0
Line = tuple[str, str]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until the condition is true."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for is uvicorn's, and tells nobody
            await asyncio.sleep(0)


async def echoed(client: ClientConnection, text: str) -> None:
    await client.send(text)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await client.recv() == text


async def ended(client: ClientConnection) -> int | None:
    """The close code of the server."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.recv()
    return client.close_code


def local(port: int, **options: object) -> connect:
    """A client that offers no compression and uses no proxy from the environment."""
    scheme = "wss" if "ssl" in options else "ws"
    return connect(f"{scheme}://127.0.0.1:{port}/", compression=None, proxy=None, **options)  # type: ignore[arg-type]


@pytest.fixture
def access_lines() -> Iterator[list[Line]]:
    """The lines of uvicorn's access log, as (client without port, rest of the line)."""
    lines: list[Line] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            client, line = record.getMessage().split(" - ", 1)
            lines.append((client.rpartition(":")[0], line))

    logger = logging.getLogger("uvicorn.access")
    kept = logger.level, logger.propagate, list(logger.handlers)
    logger.setLevel(logging.INFO)
    logger.handlers, logger.propagate = [Collector()], False
    yield lines
    logger.setLevel(kept[0])
    logger.propagate, logger.handlers = kept[1:]


async def test_a_detached_socket_is_registered_until_it_is_closed() -> None:
    """A detached socket replaces its HTTP connection in `server_state.connections` until it is closed."""
    async with serving(echo_app()) as (server, port):
        state = server.server_state
        async with local(port) as client:
            await echoed(client, "hello")
            assert [isinstance(connection, Echo) for connection in state.connections] == [True]
            assert state.tasks == set()
            assert state.total_requests == 1
        await until(lambda: not state.connections)


async def test_a_shutdown_closes_detached_sockets_with_1012() -> None:
    """A shutdown closes every detached socket with 1012, and the server ends once they are closed."""
    async with serving(echo_app(), timeout_graceful_shutdown=60) as (server, port):
        async with local(port) as one, local(port) as other:
            await echoed(one, "hello")
            await echoed(other, "hello")
            server.should_exit = True
            ending = asyncio.create_task(server.shutdown())
            assert (await ended(one), await ended(other)) == (1012, 1012)
            async with asyncio.timeout(DEADLINE_SECONDS):
                await ending
        assert server.server_state.connections == set()


async def test_a_shutdown_waits_only_for_the_graceful_timeout(caplog: pytest.LogCaptureFixture) -> None:
    """A client that does not answer the close delays the shutdown by the graceful timeout at most."""
    async with serving(echo_app(), timeout_graceful_shutdown=1) as (server, port):
        _status, _headers, _reader, writer = await request(f"http://127.0.0.1:{port}", "/", HEADERS)
        await until(lambda: any(isinstance(connection, Echo) for connection in server.server_state.connections))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await server.shutdown()
        writer.transport.abort()
        await until(lambda: not server.server_state.connections)
    assert "timeout graceful shutdown exceeded" in caplog.text


async def test_tls_sockets_pass_messages_and_end_with_1012(certificate: tuple[Path, Path]) -> None:
    """Over TLS the scheme is wss, large messages pass in both directions, and a shutdown sends 1012."""
    trusting = ssl.create_default_context(cafile=certificate[0])
    async with (
        serving(echo_app(), ssl_certfile=certificate[0], ssl_keyfile=certificate[1]) as (server, port),
        local(port, ssl=trusting) as client,
    ):
        assert client.response is not None
        assert client.response.headers["x-scheme"] == "wss"
        await echoed(client, "hello")
        await echoed(client, "κόσμε" * 100_000)
        ending = asyncio.create_task(server.shutdown())
        assert await ended(client) == 1012
        await ending
        assert server.server_state.connections == set()


@pytest.mark.parametrize("is_encrypted", [True, False], ids=["TLS", "plain"])
async def test_a_violation_gives_the_close_frame_and_then_the_end(
    *, is_encrypted: bool, certificate: tuple[Path, Path]
) -> None:
    """A client that broke a rule reads the close frame and then the end, without closing first."""
    options = {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1]} if is_encrypted else {}
    trusting = ssl.create_default_context(cafile=certificate[0]) if is_encrypted else None
    async with serving(echo_app(), **options) as (server, port), asyncio.timeout(CLOSE_SECONDS / 2):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        writer.write(f"GET / HTTP/1.1\r\n{lines}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(client_frame(3) + text("x" * 100_000))
        assert await reader.read() == close_frame(1002, "reserved opcode")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await until(lambda: not server.server_state.connections)


@pytest.mark.parametrize(
    ("trusted", "headers", "expected"),
    [
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}, ("203.0.113.7", "ws")),
        ("127.0.0.1", {"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}, ("203.0.113.7", "ws")),
        ("127.0.0.1", {"X-Forwarded-For": "2001:db8::1", "X-Forwarded-Proto": "https"}, ("2001:db8::1", "wss")),
        ("192.0.2.1", {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}, ("127.0.0.1", "ws")),
        ("127.0.0.1", {}, ("127.0.0.1", "ws")),
        (
            ["127.0.0.0/8", "10.0.0.0/8"],
            {"X-Forwarded-For": "198.51.100.1, 203.0.113.7, 10.1.2.3"},
            ("203.0.113.7", "ws"),
        ),
        (
            ["127.0.0.1/32", "2001:db8:1::/48"],
            {"X-Forwarded-For": "2001:db8:2::7, 2001:0db8:1::1"},
            ("2001:db8:2::7", "ws"),
        ),
        (["127.0.0.1"], {"X-Forwarded-For": "203.0.113.7, 10.1.2.3"}, ("10.1.2.3", "ws")),
    ],
    ids=[
        *("one proxy", "a claim before a proxy", "IPv6 over TLS", "not trusted", "none"),
        *("two proxies in a row", "two of IPv6", "a proxy that is not trusted"),
    ],
)
async def test_only_a_trusted_proxy_sets_the_clients_address(
    trusted: str | list[str], headers: dict[str, str], expected: tuple[str, str]
) -> None:
    """A trusted proxy's header sets the address of the detached connection; no other client's header does."""
    async with (
        serving(echo_app(), forwarded_allow_ips=trusted) as (server, port),
        local(port, additional_headers=headers) as client,
    ):
        await echoed(client, "hello")
        assert client.response is not None
        assert (client.response.headers["x-peer"], client.response.headers["x-scheme"]) == expected
        assert [
            connection.address for connection in server.server_state.connections if isinstance(connection, Echo)
        ] == [expected[0]]


async def test_every_upgrade_has_its_line_in_the_access_log(access_lines: list[Line]) -> None:
    """An upgrade has a line in the access log, accepted or refused, with the address that a proxy gave."""
    async with serving(echo_app()) as (_server, port):
        url = f"http://127.0.0.1:{port}"
        for path, change in (
            ("/?a=b%20c", {}),
            ("/", {"X-Forwarded-For": "203.0.113.7"}),
            ("/nowhere", {}),
            ("/", {"Sec-WebSocket-Key": "short"}),
            ("http://", {}),
        ):
            _status, _headers, _reader, writer = await request(url, path, {**HEADERS, **change})
            writer.transport.abort()
    assert access_lines == [
        ("127.0.0.1", '"GET /?a=b%20c HTTP/1.1" 101'),
        ("203.0.113.7", '"GET / HTTP/1.1" 101'),
        ("127.0.0.1", '"GET /nowhere HTTP/1.1" 403'),
        ("127.0.0.1", '"GET / HTTP/1.1" 400'),
        ("127.0.0.1", '"GET http:// HTTP/1.1" 400'),
    ]


async def test_no_access_line_is_written_without_the_access_log(access_lines: list[Line]) -> None:
    """Without the access log no line is written."""
    async with serving(echo_app(), access_log=False) as (_server, port), local(port) as client:
        await echoed(client, "hello")
    assert access_lines == []


async def test_detached_sockets_count_toward_the_concurrency_limit() -> None:
    """Detached sockets count as connections: above the limit requests and upgrades get 503 until one is closed."""
    async with serving(echo_app(), limit_concurrency=3) as (server, port), local(port) as client:
        async with local(port) as other:
            await echoed(client, "one")
            await echoed(other, "two")
            with pytest.raises(InvalidStatus) as refused:
                await local(port)
            assert refused.value.response.status_code == 503
            await until(lambda: len(server.server_state.connections) == 2)
            async with httpx.AsyncClient(trust_env=False) as http:
                assert (await http.get(f"http://127.0.0.1:{port}/")).status_code == 503
        await until(lambda: len(server.server_state.connections) == 1)
        async with local(port) as other:
            await echoed(other, "again")


async def test_a_kept_alive_connection_can_be_upgraded(access_lines: list[Line]) -> None:
    """A kept-alive connection can be upgraded, and the keep-alive timeout no longer closes it."""
    async with serving(echo_app(), timeout_keep_alive=0.1) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"echo\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        writer.write(f"GET / HTTP/1.1\r\n{lines}\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        loop = asyncio.get_running_loop()
        last = loop.time() + 0.3
        while loop.time() < last:
            writer.write(b"\x89\x80\0\0\0\0")
            assert await reader.readexactly(2) == b"\x8a\x00"
        assert [line for _client, line in access_lines] == ['"GET / HTTP/1.1" 200', '"GET / HTTP/1.1" 101']
        writer.close()
        await until(lambda: not server.server_state.connections)


async def test_upgrades_count_toward_max_requests() -> None:
    """Upgrades count as requests: the server ends after its maximum number of requests."""
    async with serving(echo_app(), limit_max_requests=2) as (server, port), local(port) as client:
        await echoed(client, "hello")
        assert not await server.on_tick(1)
        async with local(port):
            assert await server.on_tick(1)
