"""The live table of `seance up` on a terminal."""

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from cluster.console import summary
from cluster.state.status import Status

_STYLES = {"ready": "green", "running": "green", "starting": "yellow", "draining": "yellow"}
_LEFT = ("process", "state", "address", "pid")
_NARROW = (*_LEFT, "sockets", "events/s", "lag")
_WIDE = (*_LEFT, "sockets", "sessions", "events/s", "deliveries/s", "loop ms", "lag", "restarts")
# The width of the wide table with the longest usual contents.
_WIDE_COLUMNS = 118


def table(status: Status, width: int) -> Table:
    """A row for each process, and the summary below; a narrow terminal gets fewer columns."""
    shown = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title=f"{status.url}   chat at /chat   Ctrl-C drains and stops",
        title_justify="left",
        caption=Text("\n").join(_line(facts) for facts in summary.of(status)),
        caption_justify="left",
    )
    titles = _WIDE if width >= _WIDE_COLUMNS else _NARROW
    for title in titles:
        shown.add_column(title, justify="left" if title in _LEFT else "right", no_wrap=True)
    for row in _rows(status):
        shown.add_row(*(row.get(title, "") for title in titles))
    return shown


def _rows(status: Status) -> list[Mapping[str, str | Text]]:
    rows: list[Mapping[str, str | Text]] = [
        {
            **_process(one.id, one.state, one.pid, one.restarts),
            "address": one.url.removeprefix("http://"),
            "sockets": str(one.sockets),
            "sessions": str(one.sessions),
            "events/s": f"{one.events_rate:.0f}",
            "deliveries/s": f"{one.deliveries_rate:.0f}",
            "loop ms": f"{one.loop_lag_seconds * 1000:.0f}",
        }
        for one in status.gateways
    ]
    rows += [{**_process(one.id, one.state, one.pid, one.restarts), "lag": str(one.lag)} for one in status.workers]
    rows += [_process(one.name, "running" if one.pid else "stopped", one.pid, one.restarts) for one in status.services]
    return rows


def _process(name: str, state: str, pid: int | None, restarts: int) -> dict[str, str | Text]:
    return {
        "process": name,
        "state": Text(state, style=_STYLES.get(state, "red")),
        "pid": "-" if pid is None else str(pid),
        "restarts": str(restarts) if restarts else "",
    }


def _line(facts: summary.Facts) -> Text:
    return Text(", ").join(Text(fact.text, style="bold red" if fact.is_bad else "") for fact in facts)
