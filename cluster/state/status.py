"""The status of a cluster and of each of its processes, as `seance status` shows it."""

from typing import Any, Literal

import msgspec

from broker.secrecy import concealed

ProcessState = Literal["starting", "ready", "unready", "draining", "stopped"]
Reached = Literal["up", "down", "unknown"]
"""Whether a gateway reaches a server."""


class GatewayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway replica; rates are per second over the last poll."""

    id: str
    url: str
    pid: int | None
    state: ProcessState
    restarts: int = 0
    sockets: int = 0
    sessions: int = 0
    events_rate: float = 0.0
    deliveries_rate: float = 0.0
    loop_lag_seconds: float = 0.0
    backlog: int = 0
    """Entries of the fullest partition that wait for Postgres, up to `backlog_limit`; all gateways see the same."""
    backlog_limit: int = 0
    dead_letters: int = 0
    redis: Reached = "unknown"
    postgres: Reached = "unknown"


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker; `lag` counts the entries of its partitions that are not in Postgres yet."""

    id: str
    url: str
    """The address of its metrics."""
    pid: int | None
    state: ProcessState
    lag: int
    restarts: int = 0
    missing: int = 0
    """Events that were lost before they reached this worker."""


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One embedded server, or the balancer."""

    name: str
    pid: int | None
    restarts: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a whole cluster; when none runs, the URLs are None and the rest is empty."""

    url: str | None = None
    problem: str | None = None
    """Why a request through the port for clients fails, None while it succeeds."""
    redis_url: str | None = None
    database_url: str | None = None
    gateways: tuple[GatewayStatus, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    services: tuple[ServiceStatus, ...] = ()

    def __repr__(self) -> str:
        return concealed(self, "redis_url", "database_url")

    def public(self) -> dict[str, Any]:
        """The object of `seance status --json`, exactly as the wire contract has it."""
        return {
            "url": self.url,
            "redis_url": self.redis_url,
            "database_url": self.database_url,
            "gateways": [{"id": one.id, "url": one.url, "pid": one.pid, "state": one.state} for one in self.gateways],
            "workers": [
                {"id": one.id, "url": one.url, "pid": one.pid, "state": one.state, "lag": one.lag}
                for one in self.workers
            ],
            "services": [{"name": one.name, "pid": one.pid} for one in self.services],
        }
