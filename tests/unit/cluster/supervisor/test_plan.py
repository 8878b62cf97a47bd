"""What a cluster is to be, made from the settings."""

from pathlib import Path

import pytest

from cluster.state.home import Home
from cluster.supervisor.launch_factory import LaunchFactory
from cluster.supervisor.plan import Plan
from gateway.configuration import load


def plan(**environ: str) -> Plan:
    settings, sources = load(environ)
    return Plan.of(Home(Path("/home")), settings, sources, environ, port=8100)


@pytest.mark.parametrize(
    ("host", "url", "bind"),
    [
        ("127.0.0.1", "http://127.0.0.1:8100", "127.0.0.1:8100"),
        ("0.0.0.0", "http://127.0.0.1:8100", "0.0.0.0:8100"),  # noqa: S104 - only a value here
        ("::1", "http://[::1]:8100", "[::1]:8100"),
        ("::", "http://127.0.0.1:8100", "0.0.0.0:8100,[::]:8100 v6only"),
    ],
)
def test_clients_and_the_balancer_get_their_address(host: str, url: str, bind: str) -> None:
    """Clients get an address that this machine can connect to, and the balancer the address that was set."""
    assert (url, bind) == (plan(HOST=host).url, plan(HOST=host).bind)


def test_only_a_url_that_was_set_replaces_an_embedded_server() -> None:
    """A URL that somebody set means a server of theirs; a default URL means none."""
    assert (plan().redis_url, plan().database_url) == (None, None)
    given = plan(REDIS_URL="redis://elsewhere/0")
    assert (given.redis_url, given.database_url) == ("redis://elsewhere/0", None)


def test_processes_get_the_environment_and_their_own_address() -> None:
    """A process gets the whole environment, the URLs of the servers in use, and the address to listen on."""
    launches = LaunchFactory(plan(SPIRIT="1", PORT="8100"), "redis://r", "postgresql://p")
    environment = launches.gateway("gw-1", "127.0.0.1", 41001).environment
    assert environment is not None
    assert {
        "SPIRIT": "1",
        "HOST": "127.0.0.1",
        "PORT": "41001",
        "REDIS_URL": "redis://r",
        "DATABASE_URL": "postgresql://p",
    }.items() <= environment.items()
    assert launches.gateway("gw-1", "127.0.0.1", 41001).argv[-3:] == ("gateway", "--id", "gw-1")
    worker = launches.worker("worker-1", 41003)
    assert worker.argv[-3:] == ("worker", "--id", "worker-1")
    assert worker.environment is not None
    assert {"HOST": "127.0.0.1", "WORKER_METRICS_PORT": "41003"}.items() <= worker.environment.items()
