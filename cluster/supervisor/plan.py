"""What a cluster is to be: the settings in force, the servers that are not ours, and how its processes are launched."""

import sys
from collections.abc import Mapping, Sequence
from typing import Self

import msgspec

from cluster.process.launch import Launch
from cluster.process.ports import ANY_ADDRESS
from cluster.state.home import Home, checkout
from gateway.settings import Settings, Source

LOOPBACK = "127.0.0.1"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Built once by the command line; `redis_url` and `database_url` are None where an embedded server is started."""

    home: Home
    settings: Settings
    port: int
    has_balancer: bool
    redis_url: str | None
    database_url: str | None
    environ: Mapping[str, str]
    drain_wait_seconds: int = 0
    """The balancer is told before a gateway is, so nothing has to be waited for, unless somebody wants it."""

    @classmethod
    def of(
        cls,
        home: Home,
        settings: Settings,
        sources: Sequence[Source],
        environ: Mapping[str, str],
        *,
        port: int,
        has_balancer: bool = True,
    ) -> Self:
        """The plan that these settings make; a server's URL that somebody set means: use that server."""
        given = {source.variable for source in sources if source.origin != "default"}
        return cls(
            home=home,
            settings=settings,
            port=port,
            has_balancer=has_balancer,
            redis_url=settings.redis_url if "REDIS_URL" in given else None,
            database_url=settings.database_url if "DATABASE_URL" in given else None,
            environ=environ,
            drain_wait_seconds=settings.drain_wait_seconds if "DRAIN_WAIT_SECONDS" in given else 0,
        )

    @property
    def url(self) -> str:
        """Where clients on this machine connect to."""
        return f"http://{bracketed(reachable(self.settings.host))}:{self.port}"

    @property
    def bind(self) -> str:
        """The balancer's address."""
        return f"{bracketed(self.settings.host)}:{self.port}"


class LaunchFactory(msgspec.Struct, frozen=True):
    """The plan with the URLs of the servers in use: makes the launches of our own processes."""

    plan: Plan
    redis_url: str
    database_url: str

    def gateway(self, gateway_id: str, host: str, port: int) -> Launch:
        """A gateway that listens on this address."""
        own = {"HOST": host, "PORT": str(port), "DRAIN_WAIT_SECONDS": str(self.plan.drain_wait_seconds)}
        return self._launch(gateway_id, ("gateway", "--id", gateway_id), own)

    def worker(self, worker_id: str, metrics_port: int) -> Launch:
        """A persistence worker whose metrics answer on this loopback port."""
        address = {"HOST": LOOPBACK, "WORKER_METRICS_PORT": str(metrics_port)}
        return self._launch(worker_id, ("worker", "--id", worker_id), address)

    def migrate(self) -> Launch:
        """The migrations, up to the newest."""
        return self._launch("migrate", ("migrate",), {})

    def _launch(self, name: str, command: tuple[str, ...], extra: Mapping[str, str]) -> Launch:
        environment = {
            **self.plan.environ,
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": self.database_url,
            "PYTHONUNBUFFERED": "1",
            **extra,
        }
        argv = (sys.executable, "-m", "cluster", *command)
        return Launch(name=name, argv=argv, folder=checkout(), environment=environment)


def reachable(host: str) -> str:
    """The host under which this machine reaches a server that listens on `host`."""
    return LOOPBACK if host in ANY_ADDRESS else host


def bracketed(host: str) -> str:
    """The host as it stands before a port; IPv6 addresses need brackets."""
    return f"[{host}]" if ":" in host else host
