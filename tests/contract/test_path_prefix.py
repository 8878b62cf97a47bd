"""A gateway below a path of a real reverse proxy: no page, link or header leads out of that path."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from seance_client import Client
from seance_client.rest import Rest

from tests.gateways import Gateway, running_gateways
from tests.prefix import PREFIX, below_a_path
from tests.services import Services


@pytest.fixture(scope="module")
def told(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that was told its path."""
    with running_gateways(services, tmp_path_factory.mktemp("told"), root_path=PREFIX) as [gateway]:
        yield gateway


@pytest.fixture
async def below(told: Gateway, tmp_path: Path) -> AsyncIterator[str]:
    async with below_a_path(told.url, tmp_path) as url:
        yield url


@pytest.fixture
async def untold(gateway_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """The address below the path of a gateway that knows nothing of its path."""
    async with below_a_path(gateway_url, tmp_path) as url:
        yield url


async def test_every_address_in_a_page_stays_below_the_path(untold: str) -> None:
    """Each link, script, style and image of every page answers below the path, with no setting at all."""
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
        seen = {str((await client.get(f"{untold}/")).url)}
        assert seen == {f"{untold}/docs"}
        for path in ("/chat", "/docs", "/docs/rest", "/docs/websocket"):
            answer = await client.get(f"{untold}{path}")
            seen |= {urljoin(str(answer.url), one) for one in re.findall(r'(?:src|href)="([^"]*)"', answer.text)}
        outside = [url for url in seen if not url.startswith(f"{untold}/")]
        assert outside == []
        assert {(await client.get(url)).status_code for url in seen} == {200}
        assert len(seen) > 40


async def test_the_documents_name_a_server_below_the_path(below: str) -> None:
    """A generator that resolves the server of OpenAPI, or fills in that of AsyncAPI, comes out below the path."""
    async with httpx.AsyncClient(trust_env=False) as client:
        openapi = (await client.get(f"{below}/openapi.json")).json()
        [server] = openapi["servers"]
        assert urljoin(f"{below}/openapi.json", server["url"]) == f"{below}/"
        asyncapi = (await client.get(f"{below}/asyncapi.json")).json()
        assert {one["pathname"] for one in asyncapi["servers"].values()} == {PREFIX}


async def test_headers_of_a_gateway_that_was_told_its_path_stay_below(below: str) -> None:
    """With ROOT_PATH, `Location` of a new session and the redirect of the root hold the whole path."""
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{below}/")).headers["Location"] == f"{PREFIX}/docs"
        created = await client.post(f"{below}/api/sessions", json={"name": "evening"})
        assert created.headers["Location"] == f"{PREFIX}/api/sessions/{created.json()['data']['id']}"
        assert (await client.get(urljoin(below, created.headers["Location"]))).status_code == 200


async def test_the_python_client_works_below_the_path(below: str) -> None:
    """REST and WebSocket take an address with a path."""
    async with Rest(below) as rest:
        session = await rest.create_session("evening")
        async with Client(below, session.id, name="Ana") as client:
            await client.send("hello", ack="persisted")
        assert [one.text async for one in rest.messages(session.id)] == ["hello"]
