"""What is said about settings that are each allowed, but don't fit together or don't fit this machine."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cluster.checks import settings as checks
from cluster.checks.finding import Finding
from cluster.process.ports import free_port
from gateway.limits.rate import UNLIMITED
from gateway.settings import Settings
from tests.gateways import SECRET


@pytest.mark.parametrize(
    ("finding", "word"),
    [
        (checks.origins(Settings(cors_origins="chat.example, https://ok.example")), "https://chat.example"),
        (checks.origins(Settings(cors_origins="https://chat.example/room")), "scheme and host"),
        (checks.origins(Settings(cors_origins="https://ana:secret@chat.example")), "scheme and host"),
        (checks.origins(Settings(cors_origins="http://[")), "scheme and host"),
        (checks.hosts(Settings(allowed_hosts="chat.example, https://chat.example")), "without scheme"),
        (checks.hosts(Settings(allowed_hosts="chat.example:8000")), "without scheme and port"),
        (checks.proxies(Settings(trusted_proxies="balancer, 10.0.0.1")), "not names"),
        (checks.sockets(Settings(max_connections=1000), 1024), "1128 open files"),
        (checks.sockets(Settings(max_connections=1000), 1024), "MAX_CONNECTIONS=896"),
        (checks.drain(Settings(drain_window_seconds=60)), "raise it to 66"),
        (checks.secret(Settings(host="0.0.0.0")), "openssl rand -hex 32"),  # noqa: S104 - only a value
        (checks.secret(Settings(environment="production")), "openssl rand -hex 32"),
        (checks.secret(Settings(environment="production", jwt_secret="s" * 40)), "openssl rand -hex 32"),
        (checks.commits(Settings(commit_timeout_seconds=1, worker_batch_milliseconds=1000)), "WORKER_BATCH"),
        (checks.metrics(Settings(port=8000, worker_metrics_port=8000)), "another port"),
        (checks.admin(Settings(admin_port=9100, worker_metrics_port=9100)), "another port"),
        (checks.limits(Settings(environment="production", limits="off")), "LIMITS=on"),
    ],
    ids=str,
)
def test_each_problem_with_a_setting_has_a_remedy(finding: Finding, word: str) -> None:
    """Each problem comes with a remedy that names the setting or a value."""
    assert finding.remedy is not None
    assert word in finding.remedy


@pytest.mark.parametrize(
    "finding",
    [
        checks.secret(Settings()),
        checks.secret(Settings(jwt_secret="s" * 40)),
        checks.secret(Settings(jwt_secret=SECRET, environment="production", host="0.0.0.0")),  # noqa: S104 - a value
        checks.origins(Settings()),
        checks.origins(Settings(cors_origins="https://chat.example/, http://[::1]:3000")),
        checks.origins(Settings(cors_origins="capacitor://localhost,null,tauri://localhost")),
        checks.hosts(Settings()),
        checks.hosts(Settings(environment="production")),
        checks.hosts(Settings(allowed_hosts="chat.example, *.chat.example, [::1]")),
        checks.admin(Settings()),
        checks.admin(Settings(environment="production", admin_port=9100)),
        checks.proxies(Settings()),
        checks.proxies(Settings(trusted_proxies="*")),
        checks.proxies(Settings(trusted_proxies="10.0.0.0/8,::1")),
        checks.sockets(Settings(), 1024),
        checks.sockets(Settings(max_connections=896), 1024),
        checks.drain(Settings()),
        checks.commits(Settings()),
        checks.metrics(Settings()),
        checks.metrics(Settings(worker_metrics_port=9100)),
        checks.limits(Settings()),
        checks.limits(Settings(limits="off")),
        checks.limits(Settings(limit_typing=UNLIMITED)),
    ],
    ids=str,
)
def test_sensible_settings_have_no_remedy(finding: Finding) -> None:
    """The defaults and sensible values need no remedy."""
    assert finding.is_good


def test_findings_say_who_gets_in() -> None:
    """Somebody who reads the findings learns which names, pages and machines the settings let in."""
    public = Settings(environment="production", host="0.0.0.0", admin_port=9100, cors_origins="null")  # noqa: S104
    assert "DNS rebinding" in checks.hosts(public).text
    assert "every machine" in checks.admin(public).text
    assert "sandboxed" in checks.origins(public).text
    assert "this machine" in checks.admin(Settings(admin_port=9100)).text
    assert "scope `admin`" in checks.admin(Settings(environment="production")).text
    assert checks.hosts(Settings(allowed_hosts="chat.example")).text == "1 name; others get 421"


def test_a_finding_does_not_show_the_secret() -> None:
    """The finding about the secret does not contain the secret."""
    assert "sssss" not in checks.secret(Settings(jwt_secret="s" * 40)).text


class Live(BaseHTTPRequestHandler):
    """Answers as a gateway's `/live` does."""

    def do_GET(self) -> None:
        """Any path."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status":"live"}')

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing."""


@pytest.fixture
def live_port() -> Iterator[int]:
    """The port of something that answers like a gateway."""
    with HTTPServer(("127.0.0.1", 0), Live) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_free_port_is_good() -> None:
    """A port without a listener is good, and so is the choice of any port."""
    assert "is free" in checks.address(Settings(port=free_port())).text
    assert checks.address(Settings(port=0)).is_good


def test_a_port_on_which_a_gateway_answers_is_good(live_port: int) -> None:
    """A port is good when a gateway answers there."""
    finding = checks.address(Settings(port=live_port))
    assert finding.is_good
    assert "a gateway answers" in finding.text


def test_a_port_that_another_program_has_is_a_problem() -> None:
    """When another program listens on the port, the remedy is to end that program or to choose another port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        finding = checks.address(Settings(port=server.getsockname()[1]), timeout_seconds=0.1)
    assert finding.remedy == "end what listens there, or choose another PORT"


def test_a_program_on_one_family_only_is_in_the_way_of_every_address() -> None:
    """HOST=:: needs the port in both families: a program that has one of them is named as such."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as server:
            finding = checks.address(Settings(host="::", port=server.getsockname()[1]), timeout_seconds=0.1)
        assert finding.remedy == "end what listens there, or choose another PORT"


def test_numbers_have_their_nouns() -> None:
    """One site, one proxy and one socket are told in the singular."""
    one = Settings(cors_origins="https://chat.example", trusted_proxies="10.0.0.1", max_connections=1)
    assert checks.origins(one).text == "pages of the gateway's own host and port may come, and of 1 other site"
    assert checks.proxies(one).text == "the X-Forwarded-For of 1 proxy is believed"
    assert checks.sockets(one, 1024).text == "1 socket on each gateway (1024 open files)"


def test_an_address_of_another_machine_is_a_problem() -> None:
    """A gateway can not listen on an address that this machine does not have."""
    finding = checks.address(Settings(host="192.0.2.1", port=free_port()))
    assert finding.remedy is not None
    assert "address of this machine" in finding.remedy
