"""What commands take over from the running local cluster."""

from cluster.control.local import settings_of
from cluster.state.status import GatewayStatus, Status, WorkerStatus


def test_commands_see_the_port_and_the_replicas_of_the_running_cluster() -> None:
    """`seance check` looks at what runs: its servers, its port, and as many processes as there are now."""
    gateways = tuple(GatewayStatus(id=f"gw-{n}", url="", pid=None, state="ready") for n in (1, 2, 3))
    workers = (WorkerStatus(id="worker-1", url="", pid=None, state="ready", lag=0),)
    status = Status(url="http://127.0.0.1:8150", redis_url="redis://r", gateways=gateways, workers=workers)
    assert settings_of(status) == {
        "redis_url": "redis://r",
        "database_url": None,
        "port": 8150,
        "gateways": 3,
        "workers": 1,
    }
    assert set(settings_of(Status()).values()) == {None}
