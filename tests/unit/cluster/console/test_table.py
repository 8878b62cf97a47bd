"""The live table."""

import pytest
from rich.console import Console

from cluster.console.table import table
from cluster.state.status import GatewayStatus, ServiceStatus, Status, WorkerStatus

STATUS = Status(
    url="http://127.0.0.1:8000",
    gateways=(
        GatewayStatus(
            id="gw-64",
            url="http://127.0.0.1:41001",
            pid=4_194_303,
            state="draining",
            sockets=20_000,
            sessions=10_000,
            events_rate=1234.5,
            deliveries_rate=987_654.3,
            restarts=12,
            loop_lag_seconds=0.012,
            backlog=60_000,
            backlog_limit=100_000,
            dead_letters=3,
            redis="down",
            postgres="up",
        ),
    ),
    workers=(WorkerStatus(id="worker-16", url="http://127.0.0.1:41002", pid=None, state="stopped", lag=1_600_000),),
    services=(ServiceStatus(name="postgres", pid=1), ServiceStatus(name="balancer", pid=None)),
)


def drawn(width: int) -> str:
    """What the table looks like on a terminal of this width."""
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table(STATUS, width))
    return capture.get()


@pytest.mark.parametrize("width", [80, 117, 118, 200])
def test_no_cell_of_the_table_is_cut_off(width: int) -> None:
    """At any usual width, every cell is shown whole."""
    said = drawn(width)
    assert "…" not in said
    for part in ("gw-64", "draining", "127.0.0.1:41001", "4194303", "20000", "1234", "worker-16", "1600000"):
        assert part in said
    words = " ".join(said.split())
    assert "20000 sockets, 10000 sessions, 1234 events/s, 987654 deliveries/s" in words
    assert "lag 1600000, backlog 60% of its limit, dead letters 3, missing 0, loop lag 12 ms" in words
    assert "Redis away from gw-64, Postgres up" in words


def test_a_wide_terminal_shows_more_columns() -> None:
    """Sessions, deliveries and restarts appear on a wide terminal."""
    assert [("restarts" in drawn(width), "loop ms" in drawn(width)) for width in (80, 120)] == [
        (False, False),
        (True, True),
    ]
