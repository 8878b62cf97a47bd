"""The Python client and proxies: loopback is reached directly, and a proxy that is named is used."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from seance_client import Client, Target, UsageError, open_websocket
from seance_client.proxies import is_loopback
from seance_client.rest import Rest, RestError

NOWHERE = "http://127.0.0.1:1"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class HttpProxy:
    """An HTTP proxy that leads every tunnel to one port of this machine, or refuses when that is 0."""

    def __init__(self, port: int = 0) -> None:
        self.asked: list[str] = []
        self._port = port

    async def listen(self) -> None:
        """Start serving."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.partition(b"\r\n")[0].decode())
        if not self._port:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No proxy and no exception, whatever the machine's own environment says."""
    for variable in (*VARIABLES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


@pytest.fixture
async def refusing() -> AsyncIterator[HttpProxy]:
    proxy = HttpProxy()
    await proxy.listen()
    yield proxy
    proxy.server.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", True),
        ("ws://127.8.9.1/ws/x", True),
        ("https://localhost", True),
        ("http://app.localhost:1", True),
        ("ws://[::1]:8000/ws/x", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
    ],
)
def test_a_loopback_address_is_known_by_its_host(url: str, expected: bool) -> None:
    """All of 127.0.0.0/8, ::1 and the names below `localhost` are this machine."""
    assert is_loopback(url) is expected


@pytest.mark.parametrize("proxy", [NOWHERE, "socks5://127.0.0.1:1"])
async def test_loopback_is_reached_past_the_proxy_of_the_environment(
    gateway_url: str, environment: pytest.MonkeyPatch, proxy: str
) -> None:
    """With a proxy in every variable, a session on this machine is made and joined."""
    for variable in VARIABLES:
        environment.setenv(variable, proxy)
    async with Rest(gateway_url) as rest:
        session = await rest.create_session("evening")
    async with Client(gateway_url, session.id, name="Ana") as client:
        await client.send("hello")


async def test_other_hosts_are_reached_through_the_proxy_of_the_environment(
    environment: pytest.MonkeyPatch, refusing: HttpProxy
) -> None:
    """A company's proxy is asked for a gateway that is not on this machine."""
    environment.setenv("http_proxy", refusing.url)
    environment.setenv("https_proxy", refusing.url)
    with pytest.raises(OSError, match="502"):
        await open_websocket(Target(url="ws://gateway.invalid/ws/x"))
    async with Rest("https://gateway.invalid") as rest:
        with pytest.raises(RestError, match="502"):
            await rest.session("x")
    assert refusing.asked == ["CONNECT gateway.invalid:80 HTTP/1.1", "CONNECT gateway.invalid:443 HTTP/1.1"]


async def test_a_proxy_that_is_named_is_used_for_any_host(gateway_url: str) -> None:
    """The option goes before the environment, and before the rule for loopback."""
    proxy = HttpProxy(int(gateway_url.rpartition(":")[2]))
    await proxy.listen()
    async with Rest(gateway_url) as rest:
        session = await rest.create_session("evening")
    async with Client("http://127.0.0.1:2", session.id, name="Ana", proxy=proxy.url) as client:
        await client.send("hello")
    proxy.server.close()
    assert proxy.asked == ["CONNECT 127.0.0.1:2 HTTP/1.1"]


async def test_a_proxy_that_needs_another_package_is_an_error_in_words(environment: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy without the package for SOCKS: the message names the package."""
    environment.setenv("all_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(UsageError, match="socksio"):
        Rest("https://gateway.invalid")
    with pytest.raises(OSError, match="python-socks"):
        await open_websocket(Target(url="ws://gateway.invalid/ws/x", proxy="socks5://127.0.0.1:1"))
