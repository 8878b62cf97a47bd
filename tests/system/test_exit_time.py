"""A gateway ends within its bounds, whatever hangs."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest

from cluster import migrate
from tests.gateways import running_gateways
from tests.rest import call, create_session
from tests.services import Services, running_postgres


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


async def test_a_gateway_ends_while_postgres_hangs(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    """SIGTERM while Postgres answers nothing: the gateway's many connections to it do not hold up its end."""
    own = Services(redis_url=redis_url, database_url=postgres_url)
    with running_gateways(own, tmp_path) as [gateway]:
        session = await create_session(gateway.url)
        path = f"/api/sessions/{session['id']}/messages"
        answers = await asyncio.gather(*(call(gateway.url, "GET", path) for _ in range(40)))
        assert {answer.status_code for answer in answers} == {200}
        processes = await processes_of(postgres_url)
        send(processes, signal.SIGSTOP)
        try:
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
        finally:
            send(processes, signal.SIGCONT)
