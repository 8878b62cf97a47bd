"""A Redis or Postgres that a scenario kills, stops and starts again on its port, with its data, durable as in use."""

import asyncio
import contextlib
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil

from cluster.embedded.services import Service, prepare_redis, probe_redis, wait_until_answering
from cluster.process.launch import start
from tests.local import is_running
from tests.redis_server import with_password
from tests.services import copied_postgres
from tests.waiting import until

_END_SECONDS = 15.0


class Server:
    """One server with all its processes: Postgres has many."""

    def __init__(self, service: Service, folder: Path, name: str = "") -> None:
        self.name = name or service.launch.name
        self.url = service.url
        self._service = service
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    @property
    def config(self) -> Path:
        """The file of its settings; only Redis."""
        return self._folder / "redis" / "valkey.conf"

    async def start(self) -> None:
        """Start it, or start it again; it answers now."""
        process = self._process = start(self._service.launch, self._folder / f"{self.name}.log")
        await wait_until_answering(self._service, lambda: process.poll() is None)

    async def kill(self) -> None:
        """Kill -9 all of it."""
        family = self._family()
        _send(family, signal.SIGKILL)
        assert self._process is not None
        await asyncio.to_thread(self._process.wait)
        # Postgres does not start while one of its children lives; what nobody has buried yet does not count.
        pids = [process.pid for process in family]
        await asyncio.to_thread(until, lambda: not any(map(is_running, pids)), what="the end of all its processes")

    def stop(self) -> None:
        """SIGSTOP all of it."""
        _send(self._family(), signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT all of it."""
        _send(self._family(), signal.SIGCONT)

    def forget(self) -> None:
        """Lose the data; only Redis, and while it does not run."""
        shutil.rmtree(self._folder / "redis" / "appendonlydir")

    def copy_data(self) -> None:
        """Keep a copy of what it holds now; only Redis."""
        shutil.copytree(self._folder / "redis" / "appendonlydir", self._folder / "earlier", dirs_exist_ok=True)

    def go_back(self) -> None:
        """Let it hold what was copied; only Redis, and while it does not run."""
        self.forget()
        shutil.move(self._folder / "earlier", self._folder / "redis" / "appendonlydir")

    def end(self) -> None:
        """End it for good."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self.go_on()
        process.send_signal(self._service.launch.stop_signal)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            _send(self._family(), signal.SIGKILL)
            process.wait()

    def _family(self) -> list[psutil.Process]:
        """The parent first, so that it does not start the others anew."""
        assert self._process is not None
        try:
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def redis_in(folder: Path) -> Server:
    """Redis, with its data below the folder."""
    return Server(prepare_redis(folder), folder)


def standby_of(redis: Server) -> Server:
    """A second Redis with the same password, empty, beside the first one."""
    folder = redis.config.parent.parent / f"standby-{secrets.token_hex(4)}"
    service = prepare_redis(folder)
    url = with_password(service.url, redis.url)
    server = Server(msgspec.structs.replace(service, url=url, probe=lambda: probe_redis(url)), folder, "standby")
    own, wanted = urlsplit(service.url).password, urlsplit(redis.url).password
    server.config.write_text(server.config.read_text().replace(f"requirepass {own}", f"requirepass {wanted}"))
    return server


def postgres_in(folder: Path) -> Server:
    """Postgres, not migrated, with its data below the folder."""
    return Server(copied_postgres(folder), folder)


@contextlib.contextmanager
def ended(server: Server) -> Iterator[Server]:
    """At the end of this, the server is ended."""
    try:
        yield server
    finally:
        server.end()


def _send(family: list[psutil.Process], number: signal.Signals) -> None:
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
