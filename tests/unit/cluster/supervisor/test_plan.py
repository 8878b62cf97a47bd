"""What a cluster is to be, made from the settings."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.state.home import Home
from cluster.supervisor.launch_factory import LaunchFactory
from cluster.supervisor.plan import Plan
from gateway.configuration import load
from tests.gateways import SECRET


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
    made = plan(HOST=host, JWT_SECRET=SECRET)
    assert (url, bind) == (made.url, made.bind)


def test_only_a_url_that_was_set_replaces_an_embedded_server() -> None:
    """A URL that somebody set means a server of theirs; a default URL means none."""
    assert (plan().redis_url, plan().database_url) == (None, None)
    given = plan(REDIS_URL="redis://elsewhere/0")
    assert (given.redis_url, given.database_url) == ("redis://elsewhere/0", None)


def test_processes_get_the_environment_and_their_own_address() -> None:
    """A process gets the whole environment, the URLs of the servers in use, and the address to listen on."""
    launches = LaunchFactory(plan(SPIRIT="1", PORT="8100"), "redis://r", "postgresql://p")
    environment = launches.gateway(1, "127.0.0.1", 41001).environment
    assert environment is not None
    assert {
        "SPIRIT": "1",
        "HOST": "127.0.0.1",
        "PORT": "41001",
        "REDIS_URL": "redis://r",
        "DATABASE_URL": "postgresql://p",
    }.items() <= environment.items()
    assert launches.gateway(1, "127.0.0.1", 41001).argv[-3:] == ("gateway", "--id", "gw-1")
    worker = launches.worker("worker-1", 41003)
    assert worker.argv[-3:] == ("worker", "--id", "worker-1")
    assert worker.environment is not None
    assert {"HOST": "127.0.0.1", "WORKER_METRICS_PORT": "41003"}.items() <= worker.environment.items()


def gateway_environment(number: int = 1, **settings: str) -> Mapping[str, str]:
    """The environment of a gateway behind the cluster's balancer."""
    environment = (
        LaunchFactory(plan(**settings), "redis://r", "postgresql://p").gateway(number, "127.0.0.1", 1).environment
    )
    assert environment is not None
    return environment


def test_each_gateway_has_an_admin_port_of_its_own() -> None:
    """Gateways of one cluster share a machine, so the second one has the next port; 0 stays none."""
    assert [gateway_environment(number, ADMIN_PORT="9000")["ADMIN_PORT"] for number in (1, 2, 3)] == [
        "9000",
        "9001",
        "9002",
    ]
    assert gateway_environment()["ADMIN_PORT"] == "0"
    assert gateway_environment(2, ADMIN_PORT="65535")["ADMIN_PORT"] == "0"


def test_gateways_trust_the_balancer_and_what_it_trusts() -> None:
    """The address that the balancer appends is passed over, and so are those of the proxies that were set."""
    assert gateway_environment()["TRUSTED_PROXIES"] == "127.0.0.1"
    assert gateway_environment(TRUSTED_PROXIES="10.0.0.9/8, ::1")["TRUSTED_PROXIES"] == "127.0.0.1,10.0.0.0/8,::1/128"


def test_names_are_restricted_by_the_clusters_own_address() -> None:
    """A cluster for other machines serves every name, although its gateways listen on loopback."""
    assert "ALLOWED_HOSTS" not in gateway_environment()
    host, secret = "0.0.0.0", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # noqa: S104 - only a value here
    assert gateway_environment(HOST=host, JWT_SECRET=secret)["ALLOWED_HOSTS"] == "*"
    listed = gateway_environment(HOST=host, JWT_SECRET=secret, ALLOWED_HOSTS="chat.example")
    assert listed["ALLOWED_HOSTS"] == "chat.example"
