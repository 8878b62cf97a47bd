"""Whom a gateway takes for a client's address when proxies stand before it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.gateways import Gateway, running_gateways
from tests.raw_client import HEADERS, connected, request
from tests.rest import create_session
from tests.services import Services


@pytest.fixture(scope="module")
def behind_proxy(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that believes the loopback, and admits one connection of each address."""
    with running_gateways(services, tmp_path_factory.mktemp("behind-proxy"), max_connections_per_address=1) as [
        gateway
    ]:
        yield gateway


@pytest.fixture(scope="module")
def in_the_open(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The same on every address of both families, but the loopback is not among the trusted proxies."""
    folder = tmp_path_factory.mktemp("in-the-open")
    with running_gateways(services, folder, host="::", max_connections_per_address=1, trusted_proxies="192.0.2.1") as [
        gateway
    ]:
        yield gateway


def forwarded(address: str) -> dict[str, str | None]:
    return {**HEADERS, "X-Forwarded-For": address}


async def status_for(gateway: Gateway, session_id: str, address: str) -> int:
    """The status of one more upgrade from this address, which is cut again."""
    status, _headers, _reader, writer = await request(gateway.url, f"/ws/{session_id}", forwarded(address))
    writer.close()
    await writer.wait_closed()
    return status


async def test_trusted_proxy(behind_proxy: Gateway) -> None:
    """The address that a trusted proxy gives is the connection's for as long as it is detached."""
    session = await create_session(behind_proxy.url)
    async with connected(behind_proxy.url, session["id"], forwarded("203.0.113.7")) as client:
        await client.join("Ana")
        assert await status_for(behind_proxy, session["id"], "203.0.113.7") == 429
        assert await status_for(behind_proxy, session["id"], "203.0.113.8") == 101


async def test_anybody_else(in_the_open: Gateway) -> None:
    """Nobody can choose an address by a header."""
    session = await create_session(in_the_open.url)
    async with connected(in_the_open.url, session["id"], forwarded("203.0.113.7")) as client:
        await client.join("Ana")
        assert await status_for(in_the_open, session["id"], "203.0.113.8") == 429


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_every_address_of_both_families_is_listened_on(in_the_open: Gateway, host: str) -> None:
    """HOST=:: serves IPv4 too, and not only IPv6."""
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://{host}:{in_the_open.port}/ready")).status_code == 200
