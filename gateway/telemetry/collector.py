"""Collects the values of a gateway's metrics; metrics/definitions.py has their names and meanings."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from broker.pubsub.publisher import Publisher
from broker.redis.link import Link
from gateway.access.door import Door
from gateway.access.revocations import Revocations
from gateway.counters import Counters
from gateway.lifecycle.drain import Drain
from gateway.lifecycle.relay_probe import RelayProbe
from gateway.rest.services import HealthCounters
from gateway.rooms.hub import Hub
from gateway.telemetry.dependency_probe import DependencyProbe
from gateway.telemetry.loop_lag import LoopLag
from metrics.exposition import Value


@dataclass(frozen=True, kw_only=True)
class Collector:
    """Reads the values from the gateway's parts at each scrape."""

    gateway_id: str
    door: Door
    revocations: Revocations
    drain: Drain
    hub: Hub
    link: Link
    publisher: Publisher
    counters: Counters
    dependency_probe: DependencyProbe
    relay_probe: RelayProbe
    lag: LoopLag
    is_ready: Callable[[], bool]
    max_backlog: int
    started_at: float = field(default_factory=time.monotonic)

    def __call__(self) -> Mapping[str, Value]:
        """The current value of every metric, by name."""
        return {**self._connections(), **self._traffic(), **self._servers()}

    def health(self) -> HealthCounters:
        """The numbers of `/health`."""
        return HealthCounters(
            gateway_id=self.gateway_id,
            sockets=self.door.sockets,
            sessions=self.hub.room_count,
            events_total=self.counters.events,
            deliveries_total=self.counters.deliveries,
            uptime_seconds=round(time.monotonic() - self.started_at, 1),
            loop_lag_seconds=round(self.lag.seconds, 4),
            backlog=self.dependency_probe.backlog.fullest,
            backlog_limit=self.max_backlog,
            dead_letters=self.dependency_probe.backlog.dead,
        )

    def _connections(self) -> dict[str, Value]:
        return {
            "seance_connections": self.door.sockets,
            "seance_sessions": self.hub.room_count,
            "seance_ready": self.is_ready(),
            "seance_draining": self.door.is_draining,
            "seance_drained_connections_total": self.drain.drained_total,
            "seance_joins_total": self.counters.joins,
            "seance_joins_refused_total": self.counters.joins_refused,
            "seance_limited_total": self.counters.limited,
            "seance_upgrades_refused_total": self.counters.upgrades_refused,
            "seance_connections_closed_total": self.counters.closed,
            "seance_tokens_renewed_total": self.counters.tokens_renewed,
            "seance_revocations": self.revocations.count,
        }

    def _traffic(self) -> dict[str, Value]:
        return {
            "seance_publishes_total": self.publisher.sent_total,
            "seance_publishes_failed_total": self.counters.publishes_failed,
            "seance_events_total": self.counters.events,
            "seance_deliveries_total": self.counters.deliveries,
            "seance_delivered_bytes_total": self.counters.delivered_bytes,
            "seance_publish_to_deliver_seconds": self.counters.relay_timer.seconds,
            "seance_log_reads_total": self.counters.log_reads,
            "seance_gap_events_total": self.counters.gap_events,
            "seance_replays_total": self.counters.replays,
            "seance_replayed_events_total": self.counters.replayed_events,
            "seance_slow_consumers_total": self.counters.slow_consumers,
            "seance_resyncs_total": self.counters.resyncs,
        }

    def _servers(self) -> dict[str, Value]:
        dependency_probe = self.dependency_probe
        return {
            "seance_redis_up": dependency_probe.is_redis_up,
            "seance_postgres_up": dependency_probe.is_postgres_up,
            "seance_canaries_total": self.relay_probe.sent_total,
            "seance_canaries_lost_total": self.relay_probe.lost_total,
            "seance_canary_round_trip_seconds": self.relay_probe.round_trips,
            "seance_loop_lag_seconds": self.lag.seconds,
            "seance_redis_round_trip_seconds": dependency_probe.redis_seconds,
            "seance_postgres_round_trip_seconds": dependency_probe.postgres_seconds,
            "seance_redis_reconnects_total": self.link.keeper.reconnects_total,
            "seance_backlog_entries": dependency_probe.backlog.entries,
            "seance_backlog_fullest_entries": dependency_probe.backlog.fullest,
            "seance_backlog_limit_entries": self.max_backlog,
            "seance_dead_letters": dependency_probe.backlog.dead,
        }
