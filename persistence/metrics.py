"""A worker's metrics: the source of each, the watch on the lag, and their HTTP endpoint."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from broker.errors import BrokerError
from broker.keys import Keys
from broker.redis.link import Link
from broker.streams.lag import lag
from broker.streams.ownership import Ownership
from metrics.exposition import Endpoint, Exposition, Value
from persistence.audit import Audit
from persistence.counters import Counters
from persistence.waiting import Outage

LAG_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Reads the parts of a worker when a scrape asks."""

    counters: Counters
    audit: Audit
    ownership: Ownership
    redis_outage: Outage
    database_outage: Outage

    def __call__(self) -> Mapping[str, Value]:
        """The current value of every metric."""
        counters = self.counters
        return {
            "seance_redis_up": not self.redis_outage.is_away,
            "seance_postgres_up": not self.database_outage.is_away,
            "seance_publish_to_persist_seconds": counters.persist_seconds,
            "seance_worker_lag_entries": counters.lag,
            "seance_worker_partitions": len(self.ownership.held),
            "seance_worker_takeovers_total": counters.takeovers,
            "seance_worker_batches_total": counters.batches,
            "seance_worker_events_total": counters.events,
            "seance_worker_batch_seconds": counters.batch_seconds,
            "seance_worker_dead_letters_total": counters.dead_letters,
            "seance_missing_total": self.audit.missing_total,
            "seance_duplicates_total": self.audit.duplicates_total,
            "seance_displaced_total": self.audit.displaced_total,
            "seance_restored_total": self.audit.restored_total,
            "seance_worker_outages_total": {
                "redis": self.redis_outage.count,
                "postgres": self.database_outage.count,
            },
        }


@contextmanager
def exposed(readings: Readings, worker_id: str, host: str, port: int) -> Iterator[None]:
    """Serve the metrics on this address; port 0: nowhere. Raises OSError when the port is taken."""
    if not port:
        yield
        return
    try:
        endpoint = Endpoint(Exposition("worker", worker_id, readings), host, port)
    except OSError as error:
        what = f"the metrics can't be served on {host} port {port}: {error.strerror}"
        raise OSError(f"{what}; stop the process that has the port, or choose another WORKER_METRICS_PORT") from error
    try:
        yield
    finally:
        endpoint.close()


async def watch_lag(link: Link, keys: Keys, ownership: Ownership, counters: Counters) -> NoReturn:
    """Measure every two seconds how far this worker's partitions lag; while Redis is away the last value stays."""
    while True:
        try:
            lags = await lag(link, keys)
        except BrokerError:
            pass  # the lanes notice and count the outage
        else:
            counters.lag = sum(lags[partition] for partition in ownership.held)
        await asyncio.sleep(LAG_SECONDS)
