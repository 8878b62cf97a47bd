"""How the cluster's own processes are launched: gateways, workers and the migrations."""

import sys
from collections.abc import Mapping

import msgspec

from broker.secrecy import concealed
from cluster.process.addresses import LOOPBACK
from cluster.process.launch import Launch
from cluster.state.home import settings_folder
from cluster.supervisor.plan import Plan

_MAX_PORT = 65_535


class LaunchFactory(msgspec.Struct, frozen=True):
    """Makes the launches of gateways, workers and migrations, from the plan and the URLs of the servers in use."""

    plan: Plan
    redis_url: str
    database_url: str

    def __repr__(self) -> str:
        return concealed(self, "redis_url", "database_url")

    def gateway(self, number: int, host: str, port: int) -> Launch:
        """The gateway of this number, from 1, on this address; its ADMIN_PORT is the configured one + `number` - 1."""
        plan, settings = self.plan, self.plan.settings
        admin_port = settings.admin_port + number - 1 if settings.admin_port else 0
        own = {
            "HOST": host,
            "PORT": str(port),
            "ADMIN_PORT": str(admin_port if admin_port <= _MAX_PORT else 0),
            # The balancer, and the proxies in front of it.
            "TRUSTED_PROXIES": ",".join((LOOPBACK, *plan.outer_proxies)),
            "DRAIN_WAIT_SECONDS": str(plan.drain_wait_seconds),
        }
        if not settings.hosts and not settings.serves_only_this_machine:
            # Behind the balancer every gateway listens on loopback; only the cluster's own HOST says who may come.
            own["ALLOWED_HOSTS"] = "*"
        gateway_id = f"gw-{number}"
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
