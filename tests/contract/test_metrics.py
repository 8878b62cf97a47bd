"""The metrics of a real gateway follow what happens to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.counters import TIMED_EVERY
from tests.gateways import running_gateways
from tests.metrics import Scrape
from tests.raw_client import HEADERS, connected, request
from tests.rest import create_session
from tests.services import Services, running_redis
from tests.waiting import until


async def test_what_happens_is_counted(services: Services, tmp_path: Path) -> None:
    """People, messages, deliveries, refusals and ends of connections show, each under its label."""
    with running_gateways(services, tmp_path) as [gateway]:
        until(lambda: Scrape(gateway.url)["seance_redis_up"], what="a look at Redis")
        session = await create_session(gateway.url, max_users=2)
        async with connected(gateway.url, session["id"]) as ana, connected(gateway.url, session["id"]) as bob:
            await ana.join("Ana")
            welcome = await bob.join("Bob")
            async with connected(gateway.url, session["id"]) as cora:
                await cora.say({"type": "join", "name": "Cora"})
                await cora.event_of("error")
                assert await cora.closed() == (4505, "session_full")
            for number in range(TIMED_EVERY):
                await ana.say({"type": "message", "id": number, "text": "hi"})
                await bob.event_of("message_received")
            await ana.say({"type": "leave"})
            await bob.event_of("user_left")
            now = Scrape(gateway.url)
            await bob.end()
            async with connected(gateway.url, session["id"]) as again:
                data = welcome["data"]
                await again.join("Bob", token=data["token"], resume={"epoch": data["epoch"], "seq": data["seq"]})
                later = until(lambda: _with_lost(gateway.url), what="the lost connection")
    assert (now["seance_sessions"], now["seance_ready"], now["seance_draining"]) == (1, 1, 0)
    assert now.of("seance_joins_total", resumed="new") == 2
    assert now.of("seance_joins_refused_total", reason="session_full") == now["seance_joins_refused_total"] == 1
    assert now.of("seance_connections_closed_total", reason="left") == 1
    assert now["seance_publishes_total"] == TIMED_EVERY
    assert now["seance_events_total"] > TIMED_EVERY
    assert now["seance_deliveries_total"] > 2 * TIMED_EVERY
    assert now["seance_delivered_bytes_total"] > 100 * now["seance_deliveries_total"]
    assert now["seance_publish_to_deliver_seconds_count"] == 1
    assert (now["seance_redis_up"], now["seance_postgres_up"]) == (1, 1)
    assert now["seance_redis_round_trip_seconds_count"] >= 1
    assert (now["seance_redis_reconnects_total"], now["seance_backlog_limit_entries"]) == (0, 100_000)
    assert later.of("seance_joins_total", resumed="log") == 1


def _with_lost(url: str) -> Scrape | None:
    scrape = Scrape(url)
    return scrape if scrape.of("seance_connections_closed_total", reason="lost") == 1 else None


async def test_refused_upgrades_are_counted(services: Services, tmp_path: Path) -> None:
    """A WebSocket request that gets an HTTP answer counts under the answer's code."""
    with running_gateways(services, tmp_path) as [gateway]:
        status, *_, writer = await request(gateway.url, "/ws/nonsense", HEADERS)
        writer.close()
        await writer.wait_closed()
        assert status == 404
        assert Scrape(gateway.url).of("seance_upgrades_refused_total", code="session_not_found") == 1


@pytest.fixture
def workerless(services: Services, tmp_path: Path) -> Iterator[Services]:
    """A Redis of its own: the worker that other tests of this process share would drain theirs."""
    with running_redis(tmp_path) as redis_url:
        yield Services(redis_url, services.database_url)


async def test_what_waits_for_postgres_shows(workerless: Services, tmp_path: Path) -> None:
    """Without a worker, the backlog grows, and messages beyond its limit are counted as refused."""
    with running_gateways(workerless, tmp_path, max_backlog=3) as [gateway]:
        session = await create_session(gateway.url)
        async with connected(gateway.url, session["id"]) as ana:
            await ana.join("Ana")
            for number in range(5):
                await ana.say({"type": "message", "id": number, "text": "hi"})
                await ana.event_of("ack", "error")
            now = until(lambda: _with_backlog(gateway.url), what="a backlog")
    assert now.of("seance_publishes_failed_total", reason="backlog") >= 2
    assert now["seance_backlog_fullest_entries"] <= now["seance_backlog_entries"]


def _with_backlog(url: str) -> Scrape | None:
    scrape = Scrape(url)
    return scrape if scrape["seance_backlog_fullest_entries"] >= scrape["seance_backlog_limit_entries"] else None
