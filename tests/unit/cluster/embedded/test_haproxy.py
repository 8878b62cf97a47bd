"""HAProxy's configuration and its slots."""

import json
import subprocess
from pathlib import Path

import pytest

from cluster.embedded.haproxy import SLOTS, Balancer, Slot, configuration, find_haproxy
from cluster.process.ports import free_port


def text(slots: dict[int, Slot] | None = None, *, open_files: int = 20_000) -> str:
    return configuration("127.0.0.1:8000", slots or {}, open_files=open_files, drain_seconds=15)


def servers(config: str) -> list[str]:
    return [line.strip() for line in config.splitlines() if line.strip().startswith("server ")]


def test_only_ready_slots_get_traffic() -> None:
    """A ready slot leads to its gateway; draining and unused slots are disabled."""
    lines = servers(text({1: Slot(41001, "ready"), 2: Slot(41002, "drain"), 4: Slot(41004, "maint")}))
    assert lines[0] == "server gw-1 127.0.0.1:41001"
    assert all(line.endswith(" disabled") for line in lines[1:])
    assert lines[1] == "server gw-2 127.0.0.1:41002 disabled"


def test_every_slot_is_declared_from_the_start() -> None:
    """Positions on the hash ring never change, because every slot is always declared."""
    assert [f"gw-{number}" for number in range(1, SLOTS + 1)] == [line.split()[1] for line in servers(text())]


@pytest.mark.parametrize(("open_files", "expected"), [(20_000, 9872), (1024, 384), (100, 64)])
def test_the_connection_limit_fits_the_open_files(open_files: int, expected: int) -> None:
    """A connection takes two descriptors, and some descriptors are kept for other uses."""
    assert f"    maxconn {expected}\n" in text(open_files=open_files)


def test_errors_of_haproxy_have_the_envelope_of_the_api() -> None:
    """The answers of HAProxy itself are JSON in the envelope of the API."""
    lines = [line.strip() for line in text().splitlines() if line.strip().startswith("http-error ")]
    assert [line.split()[2] for line in lines] == ["400", "408", "502", "503", "504"]
    for line in lines:
        body = json.loads(line.split("'")[1])
        assert {"success", "data", "error", "meta"} == set(body)
        assert body["success"] is False
        assert {"code", "message", "details"} == set(body["error"])


def test_haproxy_accepts_the_configuration(tmp_path: Path) -> None:
    """HAProxy checks the configuration without an error and without a warning."""
    haproxy = find_haproxy()
    assert haproxy is not None
    balancer = Balancer(
        haproxy,
        tmp_path,
        f"127.0.0.1:{free_port()}",
        lambda: {3: Slot(41003, "ready")},
        open_files=20_000,
        drain_seconds=5,
    )
    launch = balancer.launch()
    checked = subprocess.run([*launch.argv, "-c"], cwd=launch.folder, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr
    assert "server gw-3 127.0.0.1:41003\n" in (tmp_path / "haproxy.cfg").read_text()
