"""The REST application with its real parts; its Redis and Postgres are unreachable."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from broker.errors import BrokerUnavailableError
from broker.keys import Keys
from broker.pubsub.publisher import Publisher
from broker.pubsub.relay_probe import ProbeChannel
from broker.pubsub.subscriber import Subscriber
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from broker.sessions.event_log import EventLog
from broker.sessions.live_sessions import LiveSessions
from broker.sessions.revocations import RevocationHash
from gateway.access.authority import Authority
from gateway.access.claims import Claims
from gateway.access.directory import Directory
from gateway.access.door import Door
from gateway.access.passwords import Passwords
from gateway.access.revocations import Revocations
from gateway.access.tokens import Tokens
from gateway.counters import Counters
from gateway.lifecycle.drain import Drain
from gateway.lifecycle.relay_probe import RelayProbe
from gateway.rest.failures import handlers
from gateway.rest.middleware import middleware
from gateway.rest.routes import routes
from gateway.rest.services import HealthCounters, Readiness, Services
from gateway.rest.shared_check import SharedCheck
from gateway.rooms.driver import RoomDriver
from gateway.rooms.flush_scheduler import FlushScheduler
from gateway.rooms.hub import Hub
from gateway.settings import Settings
from gateway.telemetry.collector import Collector
from gateway.telemetry.dependency_probe import DependencyProbe
from gateway.telemetry.loop_lag import LoopLag
from metrics.exposition import Exposition
from persistence.engine import create_engine
from persistence.messages import Messages
from persistence.revocations import StoredRevocations
from persistence.sessions import StoredSessions
from tests.limiters import limiter_without_limits

KEYS = Keys("seance", 16)
SECRET = "a-secret-of-at-least-thirty-two-bytes"
SESSION = "11111111-1111-4111-8111-111111111111"


async def unreachable() -> None:
    raise BrokerUnavailableError("Redis is not reachable")


async def reachable() -> None:
    return


@pytest.fixture
async def offline() -> AsyncIterator[Services]:
    """Services of a gateway whose Redis and Postgres are unreachable."""
    settings = Settings(jwt_secret=SECRET, max_body_bytes=2048, cors_origins="https://chat.example, https://b.example/")
    # No server listens on port 1 of the loopback.
    engine = create_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1, max_overflow=0, timeout_seconds=1)
    link = Link("redis://127.0.0.1:1/0")
    scripts = Scripts(link)
    door, counters = Door(settings), Counters()
    live, stored, passwords = LiveSessions(link, scripts, keys=KEYS), StoredSessions(engine), Passwords()
    subscriber = Subscriber(link)
    publisher = Publisher(link, scripts, keys=KEYS, max_backlog=1000)
    driver = RoomDriver(live, EventLog(link, keys=KEYS), FlushScheduler(), counters)
    hub = Hub(subscriber, live, driver, counters)
    revocations = Revocations(RevocationHash(link, keys=KEYS), StoredRevocations(engine))
    readings = Collector(
        gateway_id="gw-test",
        door=door,
        revocations=revocations,
        drain=Drain(door, settings),
        hub=hub,
        link=link,
        publisher=publisher,
        counters=counters,
        relay_probe=RelayProbe(ProbeChannel(scripts, subscriber, key=KEYS.canary("gw-test")), link),
        lag=LoopLag(),
        dependency_probe=DependencyProbe(link, ping_redis=unreachable, ping_database=reachable, keys=KEYS),
        is_ready=lambda: False,
        max_backlog=1000,
    )
    tokens, directory = Tokens(SECRET, 3600), Directory(live, stored)
    yield Services(
        settings=settings,
        tokens=tokens,
        authority=Authority(tokens, directory, needs_tokens=settings.needs_tokens),
        revocations=revocations,
        passwords=passwords,
        directory=directory,
        stored_sessions=stored,
        messages=Messages(engine),
        live_sessions=live,
        limiter=limiter_without_limits(scripts, KEYS),
        counters=counters,
        publisher=publisher,
        hub=hub,
        driver=driver,
        readiness=lambda: Readiness(is_ready=False, reason="Redis is not reachable"),
        health=lambda: HealthCounters(
            gateway_id="gw-test",
            sockets=3,
            sessions=2,
            events_total=40,
            deliveries_total=120,
            uptime_seconds=1.5,
            loop_lag_seconds=0.01,
            backlog=7,
            backlog_limit=1000,
            dead_letters=1,
        ),
        metrics=Exposition("gateway", "gw-test", readings),
        database_check=SharedCheck(reachable),
        redis_check=SharedCheck(unreachable),
    )
    passwords.close()
    await engine.dispose()


def application(services: Services) -> Starlette:
    """The application as a gateway makes it, without WebSocket."""
    app = Starlette(routes=list(routes()), middleware=middleware(services.settings), exception_handlers=handlers())
    app.router.redirect_slashes = False
    app.state.services = services
    return app


@pytest.fixture
def app(offline: Services) -> Starlette:
    return application(offline)


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the offline application."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client


@pytest.fixture
def host(offline: Services) -> dict[str, str]:
    """The headers of the host of SESSION."""
    return {"Authorization": f"Bearer {offline.tokens.create_access_token(Claims.host(SESSION))}"}


@pytest.fixture
def admin(offline: Services) -> dict[str, str]:
    """The headers of an admin."""
    return {"Authorization": f"Bearer {offline.tokens.create_access_token(Claims(scope='admin'))}"}
