"""The plan of a cluster: the settings in force, and the servers that somebody else runs."""

from collections.abc import Mapping, Sequence
from typing import Self

import msgspec

from broker.secrecy import concealed
from cluster.process.addresses import bracketed, reachable
from cluster.state.home import Home
from gateway.configuration import Source
from gateway.settings import Settings


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
    """0 unless somebody set it: the supervisor tells the balancer first, so a gateway need not wait for that."""

    outer_proxies: tuple[str, ...] = ()
    """The networks of TRUSTED_PROXIES when somebody set it: proxies in front of the cluster's balancer."""

    def __repr__(self) -> str:
        return concealed(self, "redis_url", "database_url", "environ")

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
        """The plan for these settings; a URL that somebody set means: use that server, and start none."""
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
            outer_proxies=settings.proxies if "TRUSTED_PROXIES" in given else (),
        )

    @property
    def url(self) -> str:
        """The address for clients on this machine."""
        return f"http://{bracketed(reachable(self.settings.host))}:{self.port}"

    @property
    def bind(self) -> str:
        """The address on which the balancer listens."""
        if self.settings.bind_host is None:
            # Two sockets: with one for both families, the addresses of IPv4 clients would be written as IPv6.
            return f"0.0.0.0:{self.port},[::]:{self.port} v6only"
        return f"{bracketed(self.settings.host)}:{self.port}"
