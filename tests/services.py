"""Embedded Redis and PostgreSQL for tests: own data folder, free ports, gone with the test process."""

import asyncio
import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from cluster import migrate
from cluster.embedded.services import Service, ServiceError, prepare_postgres, prepare_redis, wait_until_answering
from cluster.process.launch import start

# Another process can take the port between choosing it and listening on it.
_ATTEMPTS = 3

Result = TypeVar("Result")


@dataclass(frozen=True)
class Services:
    """Where the servers of this test process are; the database is migrated."""

    redis_url: str
    database_url: str


@contextlib.contextmanager
def running_services(folder: Path) -> Iterator[Services]:
    """Both servers, with their data and logs below `folder`; stopped at the end."""
    with running_redis(folder) as redis_url, running_postgres(folder) as database_url:
        # In a thread of its own, because env.py runs an event loop and must not disturb pytest's.
        with ThreadPoolExecutor(1) as thread:
            if (Path(migrate.__file__).parent.parent / "migrations" / "env.py").is_file():
                thread.submit(migrate.upgrade, database_url).result()
        yield Services(redis_url, database_url)


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """A Redis server of its own, for tests that restart or pause it; yields its URL."""
    service, process = _start(folder, lambda: prepare_redis(folder, is_durable=False))
    with _stopped_at_end(service, process):
        yield service.url


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL server of its own, not migrated; yields the URL of its empty database."""
    service, process = _start(folder, lambda: copied_postgres(folder, is_durable=False))
    with _stopped_at_end(service, process):
        yield service.url


def copied_postgres(folder: Path, *, is_durable: bool = True) -> Service:
    """`prepare_postgres` with a copy of what one initdb of this process has made; initdb costs ten times as much."""
    if not (folder / "postgres").exists():
        template = Path(_template().name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", template / "postgres", template / "postgres.password", folder], check=True)
    return prepare_postgres(folder, is_durable=is_durable)


@cache
def _template() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="postgres-template-")
    prepare_postgres(Path(folder.name), is_durable=False)
    return folder


def run_apart(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in a loop of its own that leaves the thread's current loop alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


async def truncate(database_url: str) -> None:
    """Empty every table but Alembic's and the one that says which installation this is."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT quote_ident(tablename) AS name FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename NOT IN ('seance_alembic_version', 'installation')"
        )
        if rows:
            await connection.execute(f"TRUNCATE {', '.join(row['name'] for row in rows)} RESTART IDENTITY CASCADE")
    finally:
        await connection.close()


def _start(folder: Path, prepare: Callable[[], Service]) -> tuple[Service, subprocess.Popen[bytes]]:
    for attempt in range(1, _ATTEMPTS + 1):
        service = prepare()
        log = folder / f"{service.launch.name}.log"
        process = start(service.launch, log)
        try:
            run_apart(wait_until_answering(service, partial(_is_alive, process)))
        except ServiceError as error:
            process.kill()
            process.wait()
            if attempt == _ATTEMPTS:
                raise ServiceError(f"{error}\n{log.read_text(errors='replace')[-2000:]}") from error
        else:
            return service, process
    raise AssertionError("unreachable")


def _is_alive(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


@contextlib.contextmanager
def _stopped_at_end(service: Service, process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.send_signal(service.launch.stop_signal)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
