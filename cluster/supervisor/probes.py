"""Looking at running replicas: readiness and counts of gateways over HTTP, presence and lag of workers in Redis."""

import asyncio
import time
from collections.abc import Callable, Mapping

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from broker.errors import BrokerError
from broker.keys import Keys
from broker.redis.link import Link, connected
from broker.streams.lag import lag
from broker.streams.ownership import LEASE_MS
from cluster.state.status import Reached

POLL_SECONDS = 2.0
# Rates over a shorter time jump about.
_RATE_SECONDS = 0.5
_MISSING = "seance_missing_total"


class Health(msgspec.Struct, frozen=True):
    """The counts in a gateway's `/health`, and what it says of its servers."""

    sockets: int = 0
    sessions: int = 0
    events_total: int = 0
    deliveries_total: int = 0
    loop_lag_seconds: float = 0.0
    backlog: int = 0
    backlog_limit: int = 0
    dead_letters: int = 0
    redis: Reached = "unknown"
    database: Reached = "unknown"


class Pulse(msgspec.Struct, frozen=True):
    """What one poll of a gateway found; `health` is None when it did not answer."""

    is_ready: bool
    health: Health | None


class Rates:
    """Events and deliveries per second, from totals that are polled."""

    def __init__(self) -> None:
        self.events = 0.0
        self.deliveries = 0.0
        self._last: tuple[float, Health] | None = None

    def update(self, health: Health, now: float | None = None) -> None:
        """Take in the totals of now (a monotonic clock); totals that fell mean a new process."""
        now = time.monotonic() if now is None else now
        if self._last is None or health.events_total < self._last[1].events_total:
            self._last = (now, health)
            self.events = self.deliveries = 0.0
            return
        before, old = self._last
        if now - before < _RATE_SECONDS:
            return
        self.events = (health.events_total - old.events_total) / (now - before)
        self.deliveries = (health.deliveries_total - old.deliveries_total) / (now - before)
        self._last = (now, health)


class GatewayMonitor:
    """Polls gateways; one HTTP client for all. `make_token` makes a token of scope `admin`, which shows the counts."""

    def __init__(self, make_token: Callable[[], str]) -> None:
        self._make_token = make_token
        # A proxy from the environment must never see loopback requests.
        self._client = httpx.AsyncClient(timeout=POLL_SECONDS, trust_env=False)

    async def poll(self, url: str) -> Pulse:
        """Whether the gateway is ready, and its counts."""
        as_admin = {"Authorization": f"Bearer {self._make_token()}"}
        ready, health = await asyncio.gather(self._get(f"{url}/ready"), self._get(f"{url}/health", as_admin))
        return Pulse(ready is not None and ready.status_code == httpx.codes.OK, _decode(health))

    async def missing(self, worker_url: str) -> int | None:
        """How many events a worker has found missing; None when it does not answer."""
        answer = await self._get(f"{worker_url}/metrics")
        if answer is None:
            return None
        families = text_string_to_metric_families(answer.text)
        return int(sum(one.value for family in families for one in family.samples if one.name == _MISSING))

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _get(self, url: str, headers: Mapping[str, str] | None = None) -> httpx.Response | None:
        try:
            return await self._client.get(url, headers=headers)
        except httpx.HTTPError:
            return None


class WorkerMonitor:
    """Reads from Redis which workers are present and how many entries each still has to write."""

    def __init__(self, redis_url: str, keys: Keys) -> None:
        self._redis_url = redis_url
        self._keys = keys

    async def poll(self, started_at: Mapping[str, float]) -> Mapping[str, int] | None:
        """The lag of each present worker of these, in entries; None when Redis does not answer.

        `started_at` has the start of each worker's process, in seconds since the epoch: a lease that its predecessor
        left behind is no presence.
        """
        try:
            async with connected(self._redis_url, timeout_seconds=POLL_SECONDS, name="supervisor") as link:
                leases, owners, lags = await asyncio.gather(
                    link.call("ZRANGE", self._keys.workers, 0, -1, "WITHSCORES"),
                    _owners(link, self._keys),
                    lag(link, self._keys),
                )
        except BrokerError:
            return None
        ends = {name.decode(): end_ms / 1000 for name, end_ms in leases}
        present = [one for one, start in started_at.items() if ends.get(one, 0) >= start + LEASE_MS / 1000]
        return share_lag(present, lags, owners)


async def _owners(link: Link, keys: Keys) -> dict[int, str]:
    found = await asyncio.gather(*(link.call("GET", keys.owner(partition)) for partition in range(keys.partitions)))
    return {partition: owner.decode() for partition, owner in enumerate(found) if owner is not None}


def share_lag(worker_ids: list[str], lags: Mapping[int, int], owners: Mapping[int, str]) -> dict[str, int]:
    """Each worker's lag. What belongs to none of them counts for the first, so that the sum is always the whole."""
    shares = dict.fromkeys(worker_ids, 0)
    for partition, entries in lags.items():
        owner = owners.get(partition)
        if owner not in shares and worker_ids:
            owner = worker_ids[0]
        if owner in shares:
            shares[owner] += entries
    return shares


def _decode(response: httpx.Response | None) -> Health | None:
    if response is None:
        return None
    try:
        return msgspec.json.decode(response.content, type=Health)
    except msgspec.DecodeError:
        return None
