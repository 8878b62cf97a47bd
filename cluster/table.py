"""The live table of `seance up` on a terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from cluster.state import Status

_STYLES = {"ready": "green", "running": "green", "starting": "yellow", "draining": "yellow"}


def table(status: Status) -> Table:
    """Replicas, health, sockets, events per second and lag, as they are now."""
    shown = Table(
        box=box.SIMPLE_HEAD,
        title=f"{status.url}   Ctrl-C drains and stops",
        title_justify="left",
        caption_justify="left",
        caption=_totals(status),
    )
    for title in ("process", "state", "address", "pid"):
        shown.add_column(title)
    for title in ("sockets", "sessions", "events/s", "deliveries/s", "lag", "restarts"):
        shown.add_column(title, justify="right")
    for one in status.gateways:
        counts = (one.sockets, one.sessions, round(one.events_rate), round(one.deliveries_rate))
        shown.add_row(one.id, _state(one.state), one.url, _pid(one.pid), *map(str, counts), "", _count(one.restarts))
    for worker in status.workers:
        cells = ("", _pid(worker.pid), "", "", "", "", str(worker.lag), _count(worker.restarts))
        shown.add_row(worker.id, _state(worker.state), *cells)
    for service in status.services:
        cells = ("", _pid(service.pid), "", "", "", "", "", _count(service.restarts))
        shown.add_row(service.name, _state("running" if service.pid else "stopped"), *cells)
    return shown


def _totals(status: Status) -> str:
    sockets = sum(one.sockets for one in status.gateways)
    events = sum(one.events_rate for one in status.gateways)
    lag = sum(one.lag for one in status.workers)
    return f"{sockets} sockets, {events:.0f} events/s, lag {lag}"


def _state(state: str) -> Text:
    return Text(state, style=_STYLES.get(state, "red"))


def _pid(pid: int | None) -> str:
    return "-" if pid is None else str(pid)


def _count(restarts: int) -> str:
    return str(restarts) if restarts else ""
