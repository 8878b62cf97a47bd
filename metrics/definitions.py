"""The table of all metrics: docs/metrics.md is generated from it, and no process exposes another metric."""

from typing import Literal

import msgspec

Process = Literal["gateway", "worker"]
Kind = Literal["counter", "gauge", "histogram", "info"]

# From a tenth of a millisecond, the least that any step takes, up to 10 s, which people call broken.
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# A batch alone waits up to 50 ms for its last entry; an outage of Postgres may take minutes.
PERSIST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)


class Label(msgspec.Struct, frozen=True):
    """A metric's one label, with every value that it can have; a value without a count is exposed as 0."""

    name: str
    values: tuple[str, ...]


class Definition(msgspec.Struct, frozen=True):
    """One metric. The label `instance`, which Prometheus adds, names the gateway or worker."""

    name: str
    kind: Kind
    processes: tuple[Process, ...]
    help: str
    label: Label | None = None


_GATEWAY: tuple[Process, ...] = ("gateway",)
_WORKER: tuple[Process, ...] = ("worker",)
_BOTH: tuple[Process, ...] = ("gateway", "worker")

RESUMED = Label("resumed", ("new", "log", "history", "none"))
# Codes of the wire contract; `client`: the client closed first, `lost`: no close frame came, `violation`: the client
# broke RFC 6455.
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
        "rate_limited",
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
        "rate_limited",
        "replaced",
        "bad_join",
        "unauthorized",
        "forbidden",
        "session_not_found",
        "session_closed",
        "session_full",
        "name_taken",
        "removed",
    ),
)
UPGRADE_REFUSAL = Label(
    "code",
    (
        "malformed_request",
        "forbidden",
        "session_not_found",
        "misdirected_request",
        "too_many_connections",
        "unavailable",
    ),
)
# What a client did too often or too much of, by the name of the setting.
LIMITED = Label(
    "what",
    (
        "frames",
        "messages_connection",
        "messages_user",
        "messages_session",
        "typing",
        "joins",
        "resumes",
        "creates",
        "password_creates",
        "attempts",
        "attempts_session",
        "reads",
        "writes",
        "appends",
        "connections_per_address",
        "log_bytes",
        "session_backlog_bytes",
    ),
)
PUBLISH_FAILURE = Label("reason", ("backlog", "closed", "unknown", "unavailable"))
# Who has renewed a token: the gateway by itself, or the client with a token of its application.
RENEWED_BY = Label("by", ("gateway", "client"))
SERVER = Label("server", ("redis", "postgres"))

DEFINITIONS: tuple[Definition, ...] = (
    Definition("seance_build_info", "info", _BOTH, "The running version, and the id of the process in logs and Redis."),
    # Connections and joins
    Definition("seance_connections", "gauge", _GATEWAY, "Open sockets."),
    Definition("seance_sessions", "gauge", _GATEWAY, "Sessions that have a socket on this gateway."),
    Definition("seance_ready", "gauge", _GATEWAY, "1 when `/ready` answers 200."),
    Definition("seance_draining", "gauge", _GATEWAY, "1 while the gateway drains."),
    Definition(
        "seance_drained_connections_total", "counter", _GATEWAY, "Sockets that a drain closed with `reconnect`."
    ),
    Definition(
        "seance_joins_total",
        "counter",
        _GATEWAY,
        "Joins that got a seat: `new` joins, and resumed joins by the source of the missed events (`none`: the missed"
        " events could not be determined).",
        RESUMED,
    ),
    Definition("seance_joins_refused_total", "counter", _GATEWAY, "Joins that the gateway refused.", REFUSAL),
    Definition(
        "seance_limited_total",
        "counter",
        _GATEWAY,
        "What the gateway refused, held back or dropped because of a limit.",
        LIMITED,
    ),
    Definition(
        "seance_upgrades_refused_total",
        "counter",
        _GATEWAY,
        "WebSocket requests that the gateway refused over HTTP; `unavailable`: draining, full, or no server reachable.",
        UPGRADE_REFUSAL,
    ),
    Definition(
        "seance_connections_closed_total",
        "counter",
        _GATEWAY,
        "Sockets that ended, by the close code's name; `client`: the client closed first, `lost`: the connection broke"
        " without a close frame, `violation`: the client broke RFC 6455.",
        CLOSE_REASON,
    ),
    Definition(
        "seance_tokens_renewed_total",
        "counter",
        _GATEWAY,
        "Tokens of open sockets that were renewed: by the `gateway` itself, or by a `refresh` of the `client`.",
        RENEWED_BY,
    ),
    Definition("seance_revocations", "gauge", _GATEWAY, "Revocations of tokens that the gateway knows."),
    # Messages and events
    Definition("seance_publishes_total", "counter", _GATEWAY, "Messages from sockets and REST handed to Redis."),
    Definition(
        "seance_publishes_failed_total",
        "counter",
        _GATEWAY,
        "Messages from sockets that were not published: the backlog was full, the session closed or unknown to Redis,"
        " or Redis unavailable.",
        PUBLISH_FAILURE,
    ),
    Definition(
        "seance_events_total", "counter", _GATEWAY, "Events that arrived from Redis and were written to sockets."
    ),
    Definition("seance_deliveries_total", "counter", _GATEWAY, "Events written to sockets, one for each socket."),
    Definition(
        "seance_delivered_bytes_total",
        "counter",
        _GATEWAY,
        "Bytes of these deliveries, with frame headers, without TLS.",
    ),
    Definition(
        "seance_publish_to_deliver_seconds",
        "histogram",
        _GATEWAY,
        "From a message's frame, through Redis, to the write of its event to every socket here; every 16th message.",
    ),
    Definition(
        "seance_log_reads_total",
        "counter",
        _GATEWAY,
        "Reads of missed events from a session's log by a room, one page each.",
    ),
    Definition(
        "seance_gap_events_total",
        "counter",
        _GATEWAY,
        "Events announced to clients as a `gap`: the log no longer has them.",
    ),
    Definition(
        "seance_replays_total", "counter", _GATEWAY, "Clients that came back and got a replay of missed events."
    ),
    Definition(
        "seance_replayed_events_total", "counter", _GATEWAY, "Missed events sent by replays, also to slow consumers."
    ),
    Definition("seance_slow_consumers_total", "counter", _GATEWAY, "Times that a client's buffer was full."),
    Definition(
        "seance_resyncs_total",
        "counter",
        _GATEWAY,
        "Slow consumers that got all missed events and receive live events again.",
    ),
    # Redis and Postgres
    Definition(
        "seance_canaries_total",
        "counter",
        _GATEWAY,
        "Relay probes: events that the gateway publishes to itself, one every 2 seconds.",
    ),
    Definition("seance_canaries_lost_total", "counter", _GATEWAY, "Relay probes that did not arrive within 2 seconds."),
    Definition(
        "seance_canary_round_trip_seconds", "histogram", _GATEWAY, "From the publish of a relay probe to its arrival."
    ),
    Definition(
        "seance_loop_lag_seconds", "gauge", _GATEWAY, "The largest delay of the event loop in the last 5 seconds."
    ),
    Definition("seance_redis_up", "gauge", _BOTH, "1 when Redis answered the last request."),
    Definition("seance_postgres_up", "gauge", _BOTH, "1 when Postgres answered the last request."),
    Definition(
        "seance_redis_round_trip_seconds", "histogram", _GATEWAY, "Round trip of PING on the link, every 5 seconds."
    ),
    Definition(
        "seance_postgres_round_trip_seconds",
        "histogram",
        _GATEWAY,
        "Round trip of a query to Postgres, every 5 seconds.",
    ),
    Definition("seance_redis_reconnects_total", "counter", _GATEWAY, "Reconnects to Redis."),
    # The way to Postgres
    Definition(
        "seance_backlog_entries",
        "gauge",
        _GATEWAY,
        "Entries in the streams of all partitions; the same number at every gateway.",
    ),
    Definition(
        "seance_backlog_fullest_entries", "gauge", _GATEWAY, "Entries in the partition with the largest backlog."
    ),
    Definition(
        "seance_backlog_limit_entries",
        "gauge",
        _GATEWAY,
        "MAX_BACKLOG: a partition with so many entries refuses messages.",
    ),
    Definition(
        "seance_dead_letters",
        "gauge",
        _GATEWAY,
        "Entries that Postgres refused for good and that wait for an operator.",
    ),
    Definition(
        "seance_publish_to_persist_seconds",
        "histogram",
        _WORKER,
        "From an event's time stamp (the gateway's clock) to its commit; every 16th event.",
    ),
    Definition("seance_worker_lag_entries", "gauge", _WORKER, "Unacknowledged entries of this worker's partitions."),
    Definition("seance_worker_partitions", "gauge", _WORKER, "Partitions that this worker owns."),
    Definition(
        "seance_worker_takeovers_total",
        "counter",
        _WORKER,
        "Partitions that this worker has taken, also from workers that ended.",
    ),
    Definition("seance_worker_batches_total", "counter", _WORKER, "Batches committed, one transaction each."),
    Definition("seance_worker_events_total", "counter", _WORKER, "Events in these batches."),
    Definition(
        "seance_worker_batch_seconds", "histogram", _WORKER, "From decoding a batch to acknowledging it in Redis."
    ),
    Definition("seance_worker_dead_letters_total", "counter", _WORKER, "Entries moved to the dead stream."),
    Definition(
        "seance_missing_total",
        "counter",
        _WORKER,
        "Events that never came: a `seq` of a session is missing. Any value but 0 is a loss.",
    ),
    Definition(
        "seance_duplicates_total",
        "counter",
        _WORKER,
        "Events that came again, since an acknowledgement was lost; harmless.",
    ),
    Definition(
        "seance_displaced_total",
        "counter",
        _WORKER,
        "Messages whose `seq` Redis, after a loss of data, had given to another message.",
    ),
    Definition("seance_restored_total", "counter", _WORKER, "Displaced messages that got a new `seq`."),
    Definition("seance_worker_outages_total", "counter", _WORKER, "Times that a server did not answer.", SERVER),
)


def of(process: Process) -> tuple[Definition, ...]:
    """The metrics of this kind of process."""
    return tuple(definition for definition in DEFINITIONS if process in definition.processes)
