"""A Redis server of its own that a test may pause, kill, empty and start again under the same address."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import ConnectionError  # noqa: A004 - of redis-py

from broker.redis.reconnect import Reconnector
from cluster.embedded.services import prepare_redis, wait_until_answering
from cluster.process.launch import start
from tests import slow_loading
from tests.waiting import eventually


def cut(url: str, kind: Literal["normal", "pubsub"] = "normal") -> int:
    """Have the server close every connection of this kind; returns how many there were."""
    with Redis.from_url(url) as redis:
        return int(redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"))


async def redial(url: str, keeper: Reconnector, kind: Literal["normal", "pubsub"] = "normal") -> None:
    """Have the server close the keeper's connection; return once there is a new one."""
    old = keeper._wire
    assert cut(url, kind), f"there is no {kind} connection to close"
    await eventually(lambda: keeper._wire not in (None, old), what="a new connection")


class RedisServer:
    """One server; its data survives a kill."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._service = prepare_redis(folder, is_durable=False)
        self._config = folder / "redis" / "valkey.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self._service.url

    def client(self) -> Redis:
        """A client of the server."""
        return Redis.from_url(self.url)

    async def start(self) -> None:
        """Start it, or start it again; it answers now."""
        process = self._process = start(self._service.launch, self._folder / "redis.log")
        await wait_until_answering(self._service, lambda: process.poll() is None)

    async def restart_loading(self) -> None:
        """Kill it and start it again; it loads its data, and serves nobody, until `finish_loading`."""
        slow_loading.prepare(self.url, self._config)
        self.kill()
        self._process = start(self._service.launch, self._folder / "redis.log")
        await eventually(self._is_loading, what="a server that loads")

    def finish_loading(self) -> None:
        """Let it serve."""
        slow_loading.finish(self.url, self._config)

    def _is_loading(self) -> bool:
        with contextlib.suppress(ConnectionError):
            return slow_loading.is_loading(self.url)
        return False

    def pause(self) -> None:
        """Let it hold its connections and say nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def forget(self) -> None:
        """Lose its data; only while it does not run."""
        shutil.rmtree(self._folder / "redis" / "appendonlydir")

    def copy_data(self) -> None:
        """Keep a copy of what it holds now."""
        shutil.copytree(self._folder / "redis" / "appendonlydir", self._folder / "earlier")

    def go_back(self) -> None:
        """Let it hold what was copied; only while it does not run."""
        self.forget()
        shutil.copytree(self._folder / "earlier", self._folder / "redis" / "appendonlydir")

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextlib.asynccontextmanager
async def redis_server(folder: Path) -> AsyncIterator[RedisServer]:
    """A server that runs; it is killed at the end."""
    server = RedisServer(folder)
    await server.start()
    try:
        yield server
    finally:
        server.kill()


def with_password(url: str, other_url: str) -> str:
    """The URL with the password of the other URL."""
    password, address = urlsplit(other_url).password, urlsplit(url).netloc.rpartition("@")[2]
    return urlsplit(url)._replace(netloc=f":{password}@{address}").geturl()


def follow(url: str, primary_url: str | None) -> None:
    """Make the server of `url` a replica of the primary; None makes it a primary itself."""
    with Redis.from_url(url) as redis:
        if primary_url is None:
            redis.replicaof("NO", "ONE")
            return
        primary = urlsplit(primary_url)
        redis.config_set("masterauth", primary.password or "")
        redis.replicaof(str(primary.hostname), str(primary.port))
