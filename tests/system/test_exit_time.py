"""While Postgres hangs, gateways and workers answer and end within the bounds that the documents name."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from broker.keys import GROUP, Keys
from cluster import migrate
from tests.gateways import running_gateways, running_workers
from tests.rest import call, create_session
from tests.services import Services, running_postgres
from tests.waiting import eventually

# What a busy machine may add. Giving a connection up took 2 s more.
SLACK_SECONDS = 1.5
KEYS = Keys("seance", 16)


@pytest.fixture
def postgres_url(tmp_path: Path) -> Iterator[str]:
    """A migrated database of this test's own."""
    with running_postgres(tmp_path) as url, ThreadPoolExecutor(1) as thread:
        thread.submit(migrate.upgrade, url).result()
        yield url


async def processes_of(postgres_url: str) -> list[psutil.Process]:
    """Every process of the server."""
    connection = await asyncpg.connect(postgres_url)
    server = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()")).parent()
    await connection.close()
    assert server is not None
    return [server, *server.children(recursive=True)]


def send(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send them all a signal; some may have ended."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


async def test_answers_and_ends_are_in_time_while_postgres_hangs(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    """While Postgres answers nothing, `/health`, a creation, a gateway's end and a worker's end are in time."""
    own = Services(redis_url=redis_url, database_url=postgres_url)
    with (
        running_gateways(own, tmp_path, db_timeout_seconds=1) as [gateway],
        # Without the bound of its own the worker would wait for its query.
        running_workers(own, tmp_path, db_timeout_seconds=60, shutdown_timeout_seconds=1) as [worker],
    ):
        session = await create_session(gateway.url)
        path = f"/api/sessions/{session['id']}/messages"
        await eventually(lambda: _all_answer(gateway.url, path), what="a pool whose connections are all open")
        processes = await processes_of(postgres_url)
        send(processes, signal.SIGSTOP)
        try:
            health = await asyncio.gather(*(_timed(gateway.url, "GET", "/health") for _ in range(7)))
            assert {status for status, _ in health} == {503}
            assert max(seconds for _, seconds in health) < 1 + SLACK_SECONDS
            status, seconds = await _timed(gateway.url, "POST", "/api/sessions", body={"name": "late"})
            assert (status, seconds < 1 + SLACK_SECONDS) == (503, True)
            published = await call(gateway.url, "POST", path, token=session["host_token"], body={"text": "kept"})
            assert published.status_code == 202
            await eventually(lambda: _is_read(redis_url, session["id"]), what="a worker that asks Postgres")
            for process in (gateway, worker):
                process.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
            assert await asyncio.to_thread(worker.wait) == 1
            assert "did not end within 1 s" in worker.log.read_text()
        finally:
            send(processes, signal.SIGCONT)


async def _all_answer(url: str, path: str) -> bool:
    """Whether 40 requests at once are all answered; on a busy machine the first connections may come too late."""
    answers = await asyncio.gather(*(call(url, "GET", path) for _ in range(40)))
    return {answer.status_code for answer in answers} == {200}


async def _is_read(redis_url: str, session_id: str) -> bool:
    """Whether a worker has read an entry of the session's partition that is not acknowledged yet."""
    async with Redis.from_url(redis_url) as redis:
        pending = await redis.xpending(KEYS.events(KEYS.partition_of(session_id)), GROUP)
    return bool(pending["pending"])


async def _timed(url: str, method: str, path: str, **request: Any) -> tuple[int, float]:
    """The status of the answer, and how long it took."""
    began_at = time.monotonic()
    answer = await call(url, method, path, **request)
    return answer.status_code, time.monotonic() - began_at
