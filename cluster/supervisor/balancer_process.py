"""The HAProxy process of a cluster: starting it in front of the gateways, and stopping it after them."""

import asyncio
import signal
from collections.abc import Callable, Mapping

from cluster.embedded.haproxy import Balancer, Slot, find_haproxy
from cluster.process.child import Child
from cluster.process.ports import is_listening
from cluster.supervisor.children import Children
from cluster.supervisor.errors import StartError
from cluster.supervisor.plan import Plan

_STOP_SECONDS = 2.0
_POLL_SECONDS = 0.02


class BalancerProcess:
    """HAProxy as a child of the supervisor; `child` is None before `start`, and where there is no HAProxy."""

    def __init__(self, plan: Plan, children: Children, open_files: int) -> None:
        self.child: Child | None = None
        self._plan = plan
        self._children = children
        self._open_files = open_files
        self._binary = find_haproxy() if plan.has_balancer else None

    @property
    def is_available(self) -> bool:
        """Whether this cluster has a balancer."""
        return self._binary is not None

    @property
    def why_not(self) -> str:
        """Why this cluster has no balancer."""
        return "no HAProxy for this machine" if self._plan.has_balancer else "no balancer wanted"

    async def start(self, slots: Callable[[], Mapping[int, Slot]]) -> Balancer | None:
        """Return HAProxy's configuration once HAProxy listens; None where there is no HAProxy. Raises StartError."""
        if self._binary is None:
            return None
        balancer = Balancer(
            self._binary,
            self._plan.home.run,
            self._plan.bind,
            slots,
            open_files=self._open_files,
            drain_seconds=self._plan.settings.shutdown_timeout_seconds,
            proxies=self._plan.outer_proxies,
        )
        child = self.child = self._children.add("balancer", balancer.launch)
        while not is_listening(self._plan.settings.host, self._plan.port):
            if child.is_hopeless:
                raise StartError(f"HAProxy does not start; its log {child.log} ends with\n{child.last_lines()}")
            await asyncio.sleep(_POLL_SECONDS)
        child.set_state("ready")
        return balancer

    def begin_stop(self) -> None:
        """Accept no new connections; HAProxy ends by itself when the gateways have closed theirs."""
        if self.child is not None:
            self.child.begin_stop(signal.SIGUSR1)

    async def stop(self) -> None:
        """End HAProxy with the connections that are left."""
        if self.child is not None:
            await self.child.stop(_STOP_SECONDS)
