"""The table of all metrics: docs/metrics.md is made from it, and no process shows any other."""

from typing import Literal

import msgspec

Process = Literal["gateway", "worker"]
Kind = Literal["counter", "gauge", "histogram", "info"]

# From a tenth of a millisecond, less than which nothing takes, up to what people call broken.
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# A batch alone waits up to 50 ms for its last entry; an outage of Postgres may take minutes.
PERSIST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)


class Label(msgspec.Struct, frozen=True):
    """A metric's one label, with every value that it can have: what isn't counted yet is shown as 0."""

    name: str
    values: tuple[str, ...]


class Definition(msgspec.Struct, frozen=True):
    """One metric. Which gateway or worker it is about is said by the labels that Prometheus adds (`instance`)."""

    name: str
    kind: Kind
    processes: tuple[Process, ...]
    help: str
    label: Label | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of its labels."""
        if self.kind == "info":
            return ("version", "process", "id")
        return () if self.label is None else (self.label.name,)

    @property
    def sample_names(self) -> tuple[str, ...]:
        """What its samples are called in an answer."""
        if self.kind == "histogram":
            return tuple(f"{self.name}{part}" for part in ("_bucket", "_count", "_sum"))
        return (self.name,)


_GATEWAY: tuple[Process, ...] = ("gateway",)
_WORKER: tuple[Process, ...] = ("worker",)
_BOTH: tuple[Process, ...] = ("gateway", "worker")

RESUMED = Label("resumed", ("new", "log", "history", "none"))
# Codes of the wire contract; `client`: it closed first, `lost`: no close frame came, `violation`: it broke RFC 6455.
CLOSE_REASON = Label(
    "reason",
    (
        "left",
        "restart",
        "internal_error",
        "slow_consumer",
        "heartbeat_lost",
        "unavailable",
        "resync",
        "bad_join",
        "unauthorized",
        "forbidden",
        "session_not_found",
        "session_closed",
        "session_full",
        "name_taken",
        "removed",
        "replaced",
        "abuse",
        "client",
        "lost",
        "violation",
    ),
)
REFUSAL = Label(
    "reason",
    (
        "internal_error",
        "unavailable",
        "resync",
        "replaced",
        "bad_join",
        "unauthorized",
        "forbidden",
        "session_not_found",
        "session_closed",
        "session_full",
        "name_taken",
    ),
)
UPGRADE_REFUSAL = Label("code", ("forbidden", "session_not_found", "too_many_connections", "unavailable"))
PUBLISH_FAILURE = Label("reason", ("backlog", "closed", "unknown", "unavailable"))
SERVER = Label("server", ("redis", "postgres"))

DEFINITIONS: tuple[Definition, ...] = (
    Definition("seance_build_info", "info", _BOTH, "The running version, and the id that logs and Redis know it by."),
    # Who is here
    Definition("seance_connections", "gauge", _GATEWAY, "Open sockets."),
    Definition("seance_sessions", "gauge", _GATEWAY, "Sessions that have a socket here."),
    Definition("seance_ready", "gauge", _GATEWAY, "1 when `/ready` answers 200."),
    Definition("seance_draining", "gauge", _GATEWAY, "1 while the gateway sends its sockets elsewhere."),
    Definition("seance_drained_connections_total", "counter", _GATEWAY, "Sockets that a drain sent elsewhere."),
    Definition(
        "seance_joins_total",
        "counter",
        _GATEWAY,
        "Joins that got a seat: `new` ones, and those that came back, by where what they missed came from"
        " (`none`: it could not be told).",
        RESUMED,
    ),
    Definition("seance_joins_refused_total", "counter", _GATEWAY, "Joins that were refused.", REFUSAL),
    Definition(
        "seance_upgrades_refused_total",
        "counter",
        _GATEWAY,
        "WebSocket requests that were answered over HTTP; `unavailable`: draining, full, or no server reachable.",
        UPGRADE_REFUSAL,
    ),
    Definition(
        "seance_connections_closed_total",
        "counter",
        _GATEWAY,
        "Sockets that ended, by the close code's name; `client`: it closed first, `lost`: it vanished without a"
        " close frame, `violation`: it broke RFC 6455.",
        CLOSE_REASON,
    ),
    # What passes through
    Definition("seance_publishes_total", "counter", _GATEWAY, "Messages from sockets and REST handed to Redis."),
    Definition(
        "seance_publishes_failed_total",
        "counter",
        _GATEWAY,
        "Messages from sockets that were not published: the backlog was full, the session closed or unknown to Redis,"
        " or Redis unavailable.",
        PUBLISH_FAILURE,
    ),
    Definition("seance_events_total", "counter", _GATEWAY, "Events that arrived through Redis and went to sockets."),
    Definition("seance_deliveries_total", "counter", _GATEWAY, "Events written to sockets, one for each socket."),
    Definition("seance_delivered_bytes_total", "counter", _GATEWAY, "Bytes of those, frames included, TLS not."),
    Definition(
        "seance_publish_to_deliver_seconds",
        "histogram",
        _GATEWAY,
        "From a message's frame to its event's write to every socket here, through Redis; every 16th message.",
    ),
    Definition(
        "seance_log_reads_total",
        "counter",
        _GATEWAY,
        "Times that a room fetched events it had not heard from the session's log, a page each.",
    ),
    Definition(
        "seance_gap_events_total", "counter", _GATEWAY, "Events announced to clients as a `gap`: no log has them."
    ),
    Definition(
        "seance_replays_total", "counter", _GATEWAY, "Clients that came back and were sent what they had missed."
    ),
    Definition("seance_replayed_events_total", "counter", _GATEWAY, "Missed events sent, to slow consumers too."),
    Definition("seance_slow_consumers_total", "counter", _GATEWAY, "Clients whose buffer was full, each time."),
    Definition("seance_resyncs_total", "counter", _GATEWAY, "Slow consumers that got what they lacked and went on."),
    # The servers behind
    Definition(
        "seance_canaries_total", "counter", _GATEWAY, "Events that the gateway published to itself, one in 2 seconds."
    ),
    Definition("seance_canaries_lost_total", "counter", _GATEWAY, "Canaries that did not come back within 2 seconds."),
    Definition(
        "seance_canary_round_trip_seconds", "histogram", _GATEWAY, "From a canary's publish to its being heard."
    ),
    Definition(
        "seance_loop_lag_seconds", "gauge", _GATEWAY, "How late the event loop ran at worst in the last 5 seconds."
    ),
    Definition("seance_redis_up", "gauge", _BOTH, "1 when Redis answered last time."),
    Definition("seance_postgres_up", "gauge", _BOTH, "1 when Postgres answered last time."),
    Definition("seance_redis_round_trip_seconds", "histogram", _GATEWAY, "PING on the link, every 5 seconds."),
    Definition("seance_postgres_round_trip_seconds", "histogram", _GATEWAY, "SELECT 1, every 5 seconds."),
    Definition("seance_redis_reconnects_total", "counter", _GATEWAY, "Connections to Redis that had to be made again."),
    # What waits for Postgres
    Definition(
        "seance_backlog_entries",
        "gauge",
        _GATEWAY,
        "Entries in the streams of all partitions; every gateway sees the same ones.",
    ),
    Definition("seance_backlog_fullest_entries", "gauge", _GATEWAY, "Entries in the partition that has most."),
    Definition(
        "seance_backlog_limit_entries", "gauge", _GATEWAY, "MAX_BACKLOG: a partition with so many refuses messages."
    ),
    Definition("seance_dead_letters", "gauge", _GATEWAY, "Entries that could not be written and wait for somebody."),
    Definition(
        "seance_publish_to_persist_seconds",
        "histogram",
        _WORKER,
        "From an event's time stamp (the gateway's clock) to its commit; every 16th event.",
    ),
    Definition("seance_worker_lag_entries", "gauge", _WORKER, "Unacknowledged entries of this worker's partitions."),
    Definition("seance_worker_partitions", "gauge", _WORKER, "Partitions that this worker has."),
    Definition("seance_worker_takeovers_total", "counter", _WORKER, "Partitions taken, also from workers that went."),
    Definition("seance_worker_batches_total", "counter", _WORKER, "Batches committed, one transaction each."),
    Definition("seance_worker_events_total", "counter", _WORKER, "Events in them."),
    Definition(
        "seance_worker_batch_seconds", "histogram", _WORKER, "From decoding a batch to acknowledging it in Redis."
    ),
    Definition("seance_worker_dead_letters_total", "counter", _WORKER, "Entries moved to the dead stream."),
    Definition(
        "seance_missing_total",
        "counter",
        _WORKER,
        "Events that never came: a session's `seq` passed them over. Anything but 0 is a loss.",
    ),
    Definition(
        "seance_duplicates_total", "counter", _WORKER, "Events that came again; harmless, an acknowledgement was lost."
    ),
    Definition(
        "seance_displaced_total",
        "counter",
        _WORKER,
        "Messages whose `seq` Redis had given away again, because it had lost data.",
    ),
    Definition("seance_restored_total", "counter", _WORKER, "Those of them that were given a new `seq`."),
    Definition("seance_worker_outages_total", "counter", _WORKER, "Times that a server was found to be away.", SERVER),
)


def of(process: Process) -> tuple[Definition, ...]:
    """What this kind of process shows."""
    return tuple(definition for definition in DEFINITIONS if process in definition.processes)
