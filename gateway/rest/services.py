"""The parts that request handlers use; gateway/serve.py makes one object."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from broker.pubsub.publisher import Publisher
from broker.sessions.live_sessions import LiveSessions
from gateway.access.authority import Authority
from gateway.access.directory import Directory
from gateway.access.passwords import Passwords
from gateway.access.revocations import Revocations
from gateway.access.tokens import Tokens
from gateway.counters import Counters
from gateway.limits.limiter import Limiter
from gateway.rest.shared_check import SharedCheck
from gateway.rooms.driver import RoomDriver
from gateway.rooms.hub import Hub
from gateway.settings import Settings
from metrics.exposition import Exposition
from persistence.messages import Messages
from persistence.sessions import StoredSessions


class Readiness(msgspec.Struct, frozen=True):
    """Whether this gateway may get traffic, and the reason when it may not."""

    is_ready: bool
    reason: str | None = None


class HealthCounters(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of this gateway: sockets and sessions now, events since its start."""

    gateway_id: str
    sockets: int
    sessions: int
    events_total: int
    deliveries_total: int
    uptime_seconds: float
    loop_lag_seconds: float
    """How late the event loop ran at worst in the last 5 seconds."""
    backlog: int
    """Entries that wait for Postgres in the partition that has most, up to `backlog_limit`."""
    backlog_limit: int
    dead_letters: int


@dataclass(frozen=True, kw_only=True)
class Services:
    """One gateway's parts."""

    settings: Settings
    tokens: Tokens
    authority: Authority
    revocations: Revocations
    passwords: Passwords
    directory: Directory
    stored_sessions: StoredSessions
    messages: Messages
    live_sessions: LiveSessions
    limiter: Limiter
    counters: Counters
    publisher: Publisher
    hub: Hub
    driver: RoomDriver
    readiness: Callable[[], Readiness]
    health: Callable[[], HealthCounters]
    metrics: Exposition
    database_check: SharedCheck
    redis_check: SharedCheck
