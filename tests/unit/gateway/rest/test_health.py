"""The health endpoints, with servers that answer, are down, or hang."""

import asyncio
from dataclasses import replace

import httpx
from prometheus_client.parser import text_string_to_metric_families

from gateway.rest.services import Readiness, Services
from gateway.rest.shared_check import SharedCheck
from metrics.definitions import of
from persistence.errors import DatabaseUnavailableError
from tests.metrics import label_names, sample_names
from tests.unit.gateway.rest.conftest import application, reachable

COUNTERS = {
    "gateway_id": "gw-test",
    "sockets": 3,
    "sessions": 2,
    "events_total": 40,
    "deliveries_total": 120,
    "uptime_seconds": 1.5,
    "loop_lag_seconds": 0.01,
    "backlog": 7,
    "backlog_limit": 1000,
    "dead_letters": 1,
}


async def get(services: Services, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(application(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.get(path)


async def fail_database() -> None:
    raise DatabaseUnavailableError("Postgres is away")


async def hang() -> None:
    await asyncio.Event().wait()


async def test_health_is_ok_when_both_servers_answer(offline: Services) -> None:
    """When both servers answer, the status is `ok`, and the counters are present."""
    response = await get(replace(offline, redis_check=SharedCheck(reachable)), "/health")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "up", "redis": "up", **COUNTERS}


async def test_health_is_degraded_without_redis(offline: Services) -> None:
    """When Redis is down, the status is `degraded`."""
    response = await get(offline, "/health")
    assert response.status_code == 503
    assert response.json() == {"status": "degraded", "database": "up", "redis": "down", **COUNTERS}


async def test_health_is_degraded_without_postgres(offline: Services) -> None:
    """When Postgres is down, the status is `degraded`."""
    response = await get(
        replace(offline, database_check=SharedCheck(fail_database), redis_check=SharedCheck(reachable)), "/health"
    )
    assert response.status_code == 503
    assert response.json() == {"status": "degraded", "database": "down", "redis": "up", **COUNTERS}


async def test_servers_that_hang_are_down_after_the_time_limit(offline: Services) -> None:
    """Servers that never answer are down after the time limit, which both checks share."""
    hanging = replace(
        offline, database_check=SharedCheck(hang, seconds=0.01), redis_check=SharedCheck(hang, seconds=0.01)
    )
    response = await get(hanging, "/health")
    assert (response.json()["database"], response.json()["redis"]) == ("down", "down")


async def test_live_needs_no_server(client: httpx.AsyncClient) -> None:
    """`/live` answers in any state of the servers."""
    response = await client.get("/live")
    assert (response.status_code, response.json()) == (200, {"status": "live"})


async def test_an_unready_gateway_gives_the_reason(client: httpx.AsyncClient) -> None:
    """An unready gateway answers 503 with the reason."""
    response = await client.get("/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "unready", "reason": "Redis is not reachable"}


async def test_a_ready_gateway_answers_200(offline: Services) -> None:
    """A ready gateway answers 200."""
    response = await get(replace(offline, readiness=lambda: Readiness(is_ready=True)), "/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "reason": None})


async def test_the_metrics_are_those_of_the_table(client: httpx.AsyncClient) -> None:
    """The Prometheus text parses, and has exactly the metrics of the table with all their labels."""
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain")
    samples = [
        sample
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.name.startswith("seance_")
    ]
    assert {sample.name for sample in samples} == {name for one in of("gateway") for name in sample_names(one)}
    labels = {name for one in of("gateway") for name in label_names(one)}
    assert {name for sample in samples for name in sample.labels} == labels | {"le"}
    (build,) = (sample.labels for sample in samples if sample.name == "seance_build_info")
    assert (build["process"], build["id"]) == ("gateway", "gw-test")
    assert "process_cpu_seconds_total" in response.text


async def test_openmetrics_is_sent_when_asked_for(client: httpx.AsyncClient) -> None:
    """A scraper that asks for OpenMetrics gets it."""
    response = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
