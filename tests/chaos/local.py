"""The local cluster as a user starts it, behind its balancer, for scenarios that replace and scale gateways."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

from tests.local import LocalCluster


@dataclass
class Local:
    """A running cluster, with what a scenario needs of it."""

    cluster: LocalCluster
    postgres: SimpleNamespace
    port: int
    gateways: int
    drain_window_seconds: int

    def doors(self) -> list[int]:
        """The balancer's port."""
        return [self.port]

    def urls(self) -> list[str]:
        """Every gateway's own address."""
        return [one["url"] for one in self.cluster.status()["gateways"]]

    async def wait_ready(self) -> None:
        """Return once everything is ready."""
        await asyncio.to_thread(self.cluster.wait_ready)

    async def command(self, *arguments: str) -> None:
        """Run a `seance` command to its end."""
        await asyncio.to_thread(self.cluster.seance, *arguments)


@contextlib.asynccontextmanager
async def running_cluster(
    folder: Path, *, gateways: int, drain_window_seconds: int, **settings: object
) -> AsyncIterator[Local]:
    """A cluster of so many gateways and two workers with these settings; stopped at the end."""
    environ = {name.upper(): str(value) for name, value in settings.items()}
    environ["DRAIN_WINDOW_SECONDS"] = str(drain_window_seconds)
    cluster = LocalCluster(folder, **environ)
    await asyncio.to_thread(cluster.up, gateways, 2)
    try:
        status = cluster.status()
        port = urlsplit(status["url"]).port
        assert port is not None
        yield Local(cluster, SimpleNamespace(url=status["database_url"]), port, gateways, drain_window_seconds)
    finally:
        await asyncio.to_thread(cluster.down)
