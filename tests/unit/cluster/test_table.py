"""The live table."""

import pytest
from rich.console import Console

from cluster.state import GatewayStatus, ServiceStatus, Status, WorkerStatus
from cluster.table import table

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


@pytest.mark.parametrize("width", [80, 109, 110, 200])
def test_nothing_is_cut_off(width: int) -> None:
    """At any usual width every cell that is shown is shown whole."""
    said = drawn(width)
    assert "…" not in said
    for part in ("gw-64", "draining", "127.0.0.1:41001", "4194303", "20000", "1234", "worker-16", "1600000"):
        assert part in said
    assert "20000 sockets, 1234 events/s, lag 1600000" in said


def test_a_wide_terminal_shows_more() -> None:
    """Sessions, deliveries and restarts appear where there is room."""
    assert ("deliveries/s" in drawn(80), "deliveries/s" in drawn(120)) == (False, True)
