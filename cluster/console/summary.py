"""The whole cluster in two lines: its load, and its health."""

from collections.abc import Iterable

import msgspec

from cluster.console.counted import counted
from cluster.state.status import GatewayStatus, Status

# As in deploy/alerts.yml.
_BAD_BACKLOG = 0.5
_BAD_LAG_SECONDS = 0.25


class Fact(msgspec.Struct, frozen=True):
    """A few words; `is_bad` when a person should look into the matter."""

    text: str
    is_bad: bool = False


Facts = tuple[Fact, ...]


def of(status: Status) -> tuple[Facts, Facts]:
    """The line about the load, and the line about the health."""
    return _load(status.gateways), _health(status)


def text(facts: Facts) -> str:
    """A line as plain text; without colours, a mark stands behind each bad fact."""
    return ", ".join(f"{fact.text} (!)" if fact.is_bad else fact.text for fact in facts)


def _load(gateways: Iterable[GatewayStatus]) -> Facts:
    all_of = tuple(gateways)
    return (
        Fact(counted(sum(one.sockets for one in all_of), "socket")),
        Fact(counted(sum(one.sessions for one in all_of), "session")),
        Fact(f"{sum(one.events_rate for one in all_of):.0f} events/s"),
        Fact(f"{sum(one.deliveries_rate for one in all_of):.0f} deliveries/s"),
    )


def _health(status: Status) -> Facts:
    gateways = status.gateways
    share = max((one.backlog / one.backlog_limit for one in gateways if one.backlog_limit), default=0.0)
    dead = max((one.dead_letters for one in gateways), default=0)
    missing = sum(one.missing for one in status.workers)
    lag_seconds = max((one.loop_lag_seconds for one in gateways), default=0.0)
    return (
        *([] if status.problem is None else [Fact(f"clients are not served: {status.problem}", is_bad=True)]),
        Fact(f"lag {sum(one.lag for one in status.workers)}"),
        Fact(f"backlog {share:.0%} of its limit", share >= _BAD_BACKLOG),
        Fact(f"dead letters {dead}", dead > 0),
        Fact(f"missing {missing}", missing > 0),
        Fact(f"loop lag {lag_seconds * 1000:.0f} ms", lag_seconds >= _BAD_LAG_SECONDS),
        _reached("Redis", [one.id for one in gateways if one.redis == "down"]),
        _reached("Postgres", [one.id for one in gateways if one.postgres == "down"]),
    )


def _reached(server: str, away_from: list[str]) -> Fact:
    return Fact(f"{server} away from {' '.join(away_from)}", is_bad=True) if away_from else Fact(f"{server} up")
