"""Fixtures of the tests with a real Redis: a link, the scripts, an ear on the channels, one session to drive."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.pubsub.subscriber import Subscriber
from broker.redis.link import Link, connected
from broker.redis.scripts import Scripts
from tests.redis_server import RedisServer, redis_server
from tests.services import Services, running_services
from tests.session_state import ChannelRecorder, SessionState, kept, subscriber_on
from tests.stream_fixtures import empty_streams, engine_on, redis_on


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Servers of their own: these tests empty them, which the gateways that other tests share must not feel."""
    with running_services(tmp_path_factory.mktemp("integration")) as running:
        yield running


@pytest.fixture
async def stream_url(services: Services) -> str:
    """The URL of an empty Redis."""
    return await empty_streams(services)


@pytest.fixture
async def redis(stream_url: str) -> AsyncIterator[Redis]:
    """A client of that Redis."""
    async with redis_on(stream_url) as redis:
        yield redis


@pytest.fixture
async def stream_link(stream_url: str) -> AsyncIterator[Link]:
    """A link to that Redis."""
    async with connected(stream_url, timeout_seconds=5, name="test") as link:
        yield link


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on the migrated, empty database."""
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    """A link to an empty Redis."""
    link = Link(redis_url)
    async with kept(link.keeper):
        yield link


@pytest.fixture
async def subscriber(redis_url: str) -> AsyncIterator[Subscriber]:
    """A subscriber to the same Redis."""
    listening = Link(redis_url, name="seance-listening")
    subscriber = subscriber_on(listening)
    async with kept(listening.keeper):
        yield subscriber


@pytest.fixture
def scripts(link: Link) -> Scripts:
    """The scripts, over that link."""
    return Scripts(link)


@pytest.fixture
def channel(link: Link, subscriber: Subscriber) -> ChannelRecorder:
    """Hears channels."""
    return ChannelRecorder(link, subscriber)


@pytest.fixture
def session(link: Link, scripts: Scripts, channel: ChannelRecorder) -> SessionState:
    """One session, not opened yet."""
    return SessionState(link, scripts, channel)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis that the test may pause, kill, empty and start again."""
    async with redis_server(tmp_path) as server:
        yield server
