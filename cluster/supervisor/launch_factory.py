"""How the cluster's own processes are launched: gateways, workers and the migrations."""

import sys
from collections.abc import Mapping

import msgspec

from broker.secrecy import concealed
from cluster.process.addresses import LOOPBACK
from cluster.process.launch import Launch
from cluster.state.home import settings_folder
from cluster.supervisor.plan import Plan


class LaunchFactory(msgspec.Struct, frozen=True):
    """Makes the launches of gateways, workers and migrations, from the plan and the URLs of the servers in use."""

    plan: Plan
    redis_url: str
    database_url: str

    def __repr__(self) -> str:
        return concealed(self, "redis_url", "database_url")

    def gateway(self, gateway_id: str, host: str, port: int) -> Launch:
        """A gateway that listens on this address."""
        own = {"HOST": host, "PORT": str(port), "DRAIN_WAIT_SECONDS": str(self.plan.drain_wait_seconds)}
        return self._launch(gateway_id, ("gateway", "--id", gateway_id), own)

    def worker(self, worker_id: str, metrics_port: int) -> Launch:
        """A persistence worker whose metrics answer on this loopback port."""
        address = {"HOST": LOOPBACK, "WORKER_METRICS_PORT": str(metrics_port)}
        return self._launch(worker_id, ("worker", "--id", worker_id), address)

    def migrate(self) -> Launch:
        """The migrations, up to the newest revision."""
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
        return Launch(name=name, argv=argv, folder=settings_folder(), environment=environment)
