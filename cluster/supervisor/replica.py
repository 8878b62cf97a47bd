"""One gateway and one worker of a running cluster: process, port, and what the last probe found."""

from collections.abc import Callable, Mapping

from cluster.embedded.haproxy import Slot
from cluster.process.addresses import LOOPBACK, bracketed, reachable
from cluster.process.child import Child
from cluster.process.launch import Launch
from cluster.process.ports import free_port, is_free
from cluster.state.status import GatewayStatus, WorkerStatus
from cluster.supervisor.launch_factory import LaunchFactory
from cluster.supervisor.probes import Health, Pulse, Rates

MakeChild = Callable[[str, Callable[[], Launch]], Child]


class Gateway:
    """One gateway replica: its process, its port, and what the last probe found.

    `address` is set when there is no balancer: the gateway then listens on the address of the cluster.
    """

    def __init__(
        self, number: int, launches: LaunchFactory, make_child: MakeChild, address: tuple[str, int] | None
    ) -> None:
        self.number = number
        self.id = f"gw-{number}"
        self.health = Health()
        self.rates = Rates()
        self._launches = launches
        self._fixed_address = address
        self._port = address[1] if address else free_port()
        self.child = make_child(self.id, self._launch)

    @property
    def url(self) -> str:
        """The address of this gateway, past the balancer."""
        host = reachable(self._fixed_address[0]) if self._fixed_address else LOOPBACK
        return f"http://{bracketed(host)}:{self._port}"

    @property
    def slot(self) -> Slot:
        """How the balancer treats this gateway; an unready gateway keeps its slot, and the balancer's checks decide."""
        match self.child.state:
            case "ready" | "unready":
                return Slot(self._port, "ready")
            case "draining":
                return Slot(self._port, "drain")
            case _:
                return Slot()

    def observe(self, pulse: Pulse) -> bool:
        """Take in what a probe found; return whether the state changed."""
        if pulse.health is not None:
            self.health = pulse.health
            self.rates.update(pulse.health)
        if pulse.is_ready:
            return self.child.set_state("ready")
        return self.child.state == "ready" and self.child.set_state("unready")

    def status(self) -> GatewayStatus:
        """The status of this gateway, with zeros while the process does not run."""
        is_up = self.child.is_running
        health = self.health if is_up else Health()
        return GatewayStatus(
            id=self.id,
            url=self.url,
            pid=self.child.pid,
            state=self.child.state,
            restarts=self.child.restarts,
            sockets=health.sockets,
            sessions=health.sessions,
            events_rate=self.rates.events if is_up else 0.0,
            deliveries_rate=self.rates.deliveries if is_up else 0.0,
            loop_lag_seconds=health.loop_lag_seconds,
            backlog=health.backlog,
            backlog_limit=health.backlog_limit,
            dead_letters=health.dead_letters,
            redis=health.redis,
            postgres=health.database,
        )

    def _launch(self) -> Launch:
        # Between an end and the next start, another process may have taken the port.
        if self._fixed_address is None and not is_free(self._port):
            self._port = free_port()
        host = self._fixed_address[0] if self._fixed_address else LOOPBACK
        return self._launches.gateway(self.number, host, self._port)


class Worker:
    """One persistence worker: its process, its lag, and how many events it found missing."""

    def __init__(self, number: int, launches: LaunchFactory, make_child: MakeChild) -> None:
        self.number = number
        self.id = f"worker-{number}"
        self.lag = 0
        self.missing = 0
        self._launches = launches
        self._port = free_port()
        self.child = make_child(self.id, self._launch)

    @property
    def url(self) -> str:
        """Where the worker answers with its metrics."""
        return f"http://{LOOPBACK}:{self._port}"

    def observe(self, lags: Mapping[str, int] | None) -> bool:
        """Take in the lags of the workers that hold a lease; return whether the state changed."""
        lag = None if lags is None else lags.get(self.id)
        if lag is not None:
            self.lag = lag
            return self.child.set_state("ready")
        return self.child.state == "ready" and self.child.set_state("unready")

    def status(self) -> WorkerStatus:
        """The status of this worker."""
        return WorkerStatus(
            id=self.id,
            url=self.url,
            pid=self.child.pid,
            state=self.child.state,
            lag=self.lag,
            missing=self.missing,
            restarts=self.child.restarts,
        )

    def _launch(self) -> Launch:
        if not is_free(self._port):
            self._port = free_port()
        return self._launches.worker(self.id, self._port)
