"""The Grafana dashboard: `python -m metrics.dashboard > deploy/grafana/dashboards/seance.json` writes it."""

import json
import sys
from typing import Any, Literal

import msgspec

Unit = Literal["short", "ops", "Bps", "s", "percentunit", "bytes", "bool_on_off"]
Queries = tuple[tuple[str, str], ...]
"""(expression, legend) pairs."""

_WIDTH = 24
_HEIGHT = {"stat": 4, "timeseries": 8}


class Panel(msgspec.Struct, frozen=True):
    """One picture; `width` in Grafana's 24 columns."""

    title: str
    unit: Unit
    queries: Queries
    kind: Literal["stat", "timeseries"] = "timeseries"
    width: int = 8
    red_from: float | None = None


def _stat(title: str, expression: str, unit: Unit = "short", red_from: float | None = None) -> Panel:
    return Panel(title, unit, ((expression, ""),), "stat", 4, red_from)


def _quantiles(metric: str) -> Queries:
    return tuple(
        (f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket[$__rate_interval])))", name)
        for share, name in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
    )


def _rate_by(metric: str, label: str) -> Queries:
    return ((f"sum by ({label}) (rate({metric}[$__rate_interval]))", f"{{{{{label}}}}}"),)


def _each(expression: str) -> Queries:
    return ((expression, "{{instance}}"),)


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "At a glance",
        (
            _stat("Connections", "sum(seance_connections)"),
            _stat("Events", "sum(rate(seance_events_total[1m]))", "ops"),
            _stat("Deliveries", "sum(rate(seance_deliveries_total[1m]))", "ops"),
            _stat("Gateways ready", "sum(seance_ready)"),
            _stat("Redis away from", "count(seance_redis_up == 0) or vector(0)", red_from=1),
            _stat("Postgres away from", "count(seance_postgres_up == 0) or vector(0)", red_from=1),
            _stat("Worker lag", "sum(seance_worker_lag_entries)", red_from=10_000),
            _stat(
                "Backlog of its limit",
                "max(seance_backlog_fullest_entries / seance_backlog_limit_entries)",
                "percentunit",
                red_from=0.5,
            ),
            _stat("Dead letters", "max(seance_dead_letters)", red_from=1),
            _stat("Events missing", "sum(seance_missing_total)", red_from=1),
            _stat("Lag of the event loop", "max(seance_loop_lag_seconds)", "s", red_from=0.25),
            _stat("Gateways that drain", "sum(seance_draining)"),
        ),
    ),
    (
        "People",
        (
            Panel("Connections", "short", _each("seance_connections")),
            Panel("Joins: new, and resumed by source", "ops", _rate_by("seance_joins_total", "resumed")),
            Panel("Joins refused", "ops", _rate_by("seance_joins_refused_total", "reason")),
            Panel("Connections closed", "ops", _rate_by("seance_connections_closed_total", "reason")),
            Panel("WebSocket requests refused", "ops", _rate_by("seance_upgrades_refused_total", "code")),
            Panel("Limited", "ops", _rate_by("seance_limited_total", "what")),
            Panel("Tokens renewed", "ops", _rate_by("seance_tokens_renewed_total", "by")),
            Panel("Revocations in force", "short", _each("seance_revocations")),
            Panel(
                "Connections drained",
                "ops",
                _each("rate(seance_drained_connections_total[$__rate_interval])"),
            ),
            Panel("Sessions with sockets", "short", _each("seance_sessions")),
        ),
    ),
    (
        "Events",
        (
            Panel(
                "In and out",
                "ops",
                (
                    ("sum(rate(seance_publishes_total[$__rate_interval]))", "published"),
                    ("sum(rate(seance_events_total[$__rate_interval]))", "events, each gateway"),
                    ("sum(rate(seance_deliveries_total[$__rate_interval]))", "deliveries"),
                ),
            ),
            Panel("Publish to deliver", "s", _quantiles("seance_publish_to_deliver_seconds")),
            Panel("Bytes to clients", "Bps", _each("rate(seance_delivered_bytes_total[$__rate_interval])")),
            Panel("Publishes refused", "ops", _rate_by("seance_publishes_failed_total", "reason")),
            Panel(
                "Slow consumers",
                "short",
                (
                    ("sum(increase(seance_slow_consumers_total[$__rate_interval]))", "full buffers"),
                    ("sum(increase(seance_resyncs_total[$__rate_interval]))", "caught up again"),
                    (
                        'sum(increase(seance_connections_closed_total{reason="slow_consumer"}[$__rate_interval]))',
                        "closed",
                    ),
                ),
            ),
            Panel(
                "Missed events of clients",
                "ops",
                (
                    ("sum(rate(seance_replays_total[$__rate_interval]))", "replays"),
                    ("sum(rate(seance_replayed_events_total[$__rate_interval]))", "events in them"),
                ),
            ),
            Panel("Reads of the log for missed events", "ops", _each("rate(seance_log_reads_total[$__rate_interval])")),
            Panel("Events announced as lost", "short", _each("increase(seance_gap_events_total[$__rate_interval])")),
        ),
    ),
    (
        "Persistence",
        (
            Panel("Publish to persist", "s", _quantiles("seance_publish_to_persist_seconds")),
            Panel(
                "Backlog",
                "short",
                (
                    ("max(seance_backlog_entries)", "all partitions"),
                    ("max(seance_backlog_fullest_entries)", "fullest partition"),
                ),
            ),
            Panel("Lag", "short", _each("seance_worker_lag_entries")),
            Panel("Events written", "ops", _each("rate(seance_worker_events_total[$__rate_interval])")),
            Panel("Time of a batch", "s", _quantiles("seance_worker_batch_seconds")),
            Panel(
                "Batches",
                "ops",
                _each("rate(seance_worker_batches_total[$__rate_interval])"),
            ),
            Panel("Partitions", "short", _each("seance_worker_partitions")),
            Panel(
                "Takeovers and outages",
                "short",
                (
                    ("sum(increase(seance_worker_takeovers_total[$__rate_interval]))", "partitions taken"),
                    (
                        "sum by (server) (increase(seance_worker_outages_total[$__rate_interval]))",
                        "{{server}} away",
                    ),
                ),
            ),
            Panel(
                "Events missing, repeated, displaced",
                "short",
                (
                    ("sum(increase(seance_missing_total[$__rate_interval]))", "missing"),
                    ("sum(increase(seance_duplicates_total[$__rate_interval]))", "repeated"),
                    ("sum(increase(seance_displaced_total[$__rate_interval]))", "displaced"),
                    ("sum(increase(seance_restored_total[$__rate_interval]))", "restored"),
                ),
            ),
            Panel(
                "Dead letters",
                "short",
                (
                    ("max(seance_dead_letters)", "waiting"),
                    ("sum(increase(seance_worker_dead_letters_total[$__rate_interval]))", "new"),
                ),
            ),
        ),
    ),
    (
        "Servers and processes",
        (
            Panel("Round trip of the relay probe", "s", _quantiles("seance_canary_round_trip_seconds")),
            Panel(
                "Relay probes lost, as a share",
                "percentunit",
                _each(
                    "rate(seance_canaries_lost_total[$__rate_interval]) / rate(seance_canaries_total[$__rate_interval])"
                ),
            ),
            Panel("Lag of the event loop", "s", _each("seance_loop_lag_seconds")),
            Panel("Round trip to Redis", "s", _quantiles("seance_redis_round_trip_seconds")),
            Panel("Round trip to Postgres", "s", _quantiles("seance_postgres_round_trip_seconds")),
            Panel(
                "Reconnects to Redis",
                "short",
                _each("sum by (instance) (increase(seance_redis_reconnects_total[$__rate_interval]))"),
            ),
            Panel(
                "CPU, in cores", "short", _each('rate(process_cpu_seconds_total{job=~"seance.*"}[$__rate_interval])')
            ),
            Panel("Memory", "bytes", _each('process_resident_memory_bytes{job=~"seance.*"}')),
            Panel(
                "Open files of the limit",
                "percentunit",
                _each('process_open_fds{job=~"seance.*"} / process_max_fds{job=~"seance.*"}'),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Grafana's model of the whole page."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, y, _WIDTH, 1)})
        y += 1
        x = 0
        for panel in row:
            if x + panel.width > _WIDTH:
                x, y = 0, y + _HEIGHT[panel.kind]
            panels.append({**_panel(panel), "gridPos": _place(x, y, panel.width, _HEIGHT[panel.kind])})
            x += panel.width
        y += _HEIGHT[row[-1].kind]
    return {
        "uid": "seance",
        "title": "Séance",
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, start=1)],
    }


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend or "__auto"}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
