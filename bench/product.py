"""The product as in production: embedded Redis and Postgres, gateways and workers as processes of `seance`."""

import asyncio
import contextlib
import http.client
import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.peers.catalogue import ROOT, Peer
from bench.processes import Server, launch, launch_described
from cluster import migrate
from cluster.embedded.services import Service, prepare_postgres, prepare_redis, problem_with
from cluster.process.ports import free_port

HEARTBEAT_SECONDS = 300  # pings are off everywhere: a run is short
_ANSWER_SECONDS = 10
_CREATED = 201
_OK = 200


class Backend(msgspec.Struct, frozen=True):
    """The servers behind the gateways; the database is migrated."""

    folder: Path
    redis: Server
    redis_url: str
    postgres: Server
    database_url: str

    def environment(self, **settings: object) -> dict[str, str]:
        """The variables of a gateway or worker; `production`, so that the process logs JSON."""
        return {
            "ENVIRONMENT": "production",
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": self.database_url,
            "JWT_SECRET": secrets.token_hex(32),
            # Clients of a measurement have no tokens, have one address, and send as fast as they can.
            "AUTH_MODE": "open",
            "LIMITS": "off",
            "MAX_CONNECTIONS_PER_ADDRESS": "0",
            "HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
            # No worker drains the streams while gateways are measured.
            "MAX_BACKLOG": "100000000",
            "MAX_SESSION_BACKLOG_BYTES": "1000000000000",
            "PYTHONPATH": str(ROOT),
            **{name.upper(): str(value) for name, value in settings.items()},
        }


@contextlib.contextmanager
def running_backend(folder: Path, redis_cores: frozenset[int], every_core: frozenset[int]) -> Iterator[Backend]:
    """Redis and Postgres with their data below `folder`; they end with the context."""
    with contextlib.ExitStack() as stack:
        redis = prepare_redis(folder)
        redis_server = launch_described(redis.launch, folder / "redis.log", redis_cores)
        stack.callback(redis_server.stop)
        postgres = prepare_postgres(folder)
        postgres_server = launch_described(postgres.launch, folder / "postgres.log", every_core)
        stack.callback(postgres_server.stop)
        redis_server.wait_until(lambda: _answers(redis))
        postgres_server.wait_until(lambda: _answers(postgres))
        migrate.upgrade(postgres.url)
        yield Backend(folder, redis_server, redis.url, postgres_server, postgres.url)


@contextlib.contextmanager
def running_gateways(backend: Backend, count: int, cores: frozenset[int], **settings: object) -> Iterator[Peer]:
    """`count` gateways, ready; they end with the context."""
    environment = backend.environment(**settings)
    with contextlib.ExitStack() as stack:
        servers: list[Server] = []
        ports: list[int] = []
        for number in range(1, count + 1):
            port = free_port()
            server = _seance(backend, "gateway", f"gw-{number}-{port}", cores, {**environment, "PORT": str(port)})
            stack.callback(server.stop)
            servers.append(server)
            ports.append(port)
        for server, port in zip(servers, ports, strict=True):
            server.wait_until(lambda port=port: _is_ready(port))  # type: ignore[misc] # bound now
        yield Peer("seance", servers, ports, uses_redis=True)


def start_worker(backend: Backend, cores: frozenset[int]) -> Server:
    """One worker; the caller stops it."""
    return _seance(backend, "worker", "worker-1", cores, backend.environment())


def create_sessions(port: int, count: int, max_users: int) -> list[str]:
    """Create sessions without a spirit over REST; returns their ids."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    body = json.dumps({"name": "bench", "max_users": max_users, "spirit": False})
    try:
        return [_create_session(connection, body) for _ in range(count)]
    finally:
        connection.close()


def get(port: int, path: str) -> Any:
    """The `data` of a REST answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())["data"]
    finally:
        connection.close()


def _create_session(connection: http.client.HTTPConnection, body: str) -> str:
    connection.request("POST", "/api/sessions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != _CREATED:
        raise RuntimeError(f"a session could not be made: {answer}")
    created: str = answer["data"].get("id") or answer["data"]["session"]["id"]
    return created


def _seance(backend: Backend, role: str, name: str, cores: frozenset[int], environment: dict[str, str]) -> Server:
    command: Sequence[str] = (sys.executable, "-m", "cluster", role, "--id", name)
    return launch(name, command, backend.folder, cores, environment)


def _answers(service: Service) -> bool:
    return asyncio.run(problem_with(service.probe)) is None


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == _OK
    except OSError:
        return False
    finally:
        connection.close()
