"""The metrics of a real worker follow its work."""

import asyncio
import socket
from pathlib import Path

import httpx
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from cluster.process.ports import free_port
from persistence.worker import run
from tests.gateways import running_workers
from tests.metrics import Scrape
from tests.services import Services
from tests.stream_fixtures import PROCESS_KEYS, add_sessions, message, publish, put
from tests.waiting import eventually
from tests.working import config

PARTITIONS = 16


async def test_the_metrics_count_the_work(
    redis: Redis, engine: AsyncEngine, stream_url: str, database_url: str, tmp_path: Path
) -> None:
    """Batches, their events, how long they took and were under way, dead letters, partitions and lag are there."""
    (session_id,) = await add_sessions(engine, 1)
    await publish(redis, PROCESS_KEYS, session_id, *(message(session_id, seq) for seq in range(1, 101)))
    await put(redis, 3, session_id, b"no event", keys=PROCESS_KEYS)
    port = free_port()
    with running_workers(Services(stream_url, database_url), tmp_path, worker_metrics_port=port) as [worker]:

        async def is_done() -> Scrape | None:
            try:
                scrape = await asyncio.to_thread(Scrape, f"http://127.0.0.1:{port}")
            except httpx.TransportError:
                return None
            is_all = scrape["seance_worker_events_total"] == 100 and scrape["seance_worker_dead_letters_total"] == 1
            return scrape if is_all else None

        now = await eventually(is_done, what="the metrics of all the work")
    assert now is not None
    assert now["seance_worker_batches_total"] >= 1
    assert now["seance_worker_batch_seconds_count"] == now["seance_worker_batches_total"]
    assert now["seance_publish_to_persist_seconds_count"] >= 100 // 16
    assert now["seance_worker_partitions"] == PARTITIONS
    assert now["seance_worker_takeovers_total"] == PARTITIONS
    assert (now["seance_redis_up"], now["seance_postgres_up"], now["seance_worker_outages_total"]) == (1, 1, 0)
    assert now["seance_worker_lag_entries"] >= 0
    assert now.of("seance_build_info", process="worker", id=worker.name) == 1


def test_a_port_that_is_taken_is_named(redis_url: str, database_url: str) -> None:
    """A worker that can't serve its metrics says which port that is and what to do, and ends."""
    with socket.create_server(("127.0.0.1", 0)) as server, capture_logs() as lines:
        port = server.getsockname()[1]
        assert run(config(redis_url, database_url, metrics_port=port), "worker-1") == 1
    (reason,) = [line["reason"] for line in lines if line["event"] == "worker.failed"]
    assert f"port {port}" in reason
    assert "WORKER_METRICS_PORT" in reason
