"""The uvicorn internals that upgrade.py and server.py use: another uvicorn fails here first."""

import ast
import inspect
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import uvicorn
from uvicorn.config import Config
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_client_addr
from uvicorn.server import ServerState

from tests.conformance.echo import echo_app

ROOT = Path(__file__).resolve().parents[4]
PINNED = "uvicorn>=0.54,<0.55"
# The members of uvicorn's protocol that the gateway's subclass uses, and where uvicorn takes each from.
USED = {
    "access_log",
    "access_logger",
    "config",
    "connections",
    "cycle",
    "headers",
    "limit_concurrency",
    "loop",
    "parser",
    "root_path",
    "scheme",
    "scope",
    "server_state",
    "tasks",
    "transport",
    "url",
    "_get_upgrade",
    "_should_upgrade",
}
OWN = {
    "opening",
    "answer",
    "answered",
    "_await_head",
    "_body_timer",
    "_end_with",
    "_handshake_refusal",
    "_refuse",
    "refuse",
    "_head_bytes",
    "_head_is_here",
    "_head_timer",
    "_is_full",
    "_websocket_scope",
}
SIGNATURES: dict[str, tuple[Callable[..., object], str]] = {
    "HttpToolsProtocol": (
        HttpToolsProtocol.__init__,
        (
            "(self, config: 'Config', server_state: 'ServerState', app_state: 'dict[str, Any]',"
            " _loop: 'asyncio.AbstractEventLoop | None' = None) -> 'None'"
        ),
    ),
    "_should_upgrade": (HttpToolsProtocol._should_upgrade, "(self) -> 'bool'"),
    "_get_upgrade": (HttpToolsProtocol._get_upgrade, "(self) -> 'bytes | None'"),
    "handle_websocket_upgrade": (HttpToolsProtocol.handle_websocket_upgrade, "(self) -> 'None'"),
    "connection_made": (
        HttpToolsProtocol.connection_made,
        "(self, transport: 'asyncio.Transport') -> 'None'",
    ),
    "data_received": (HttpToolsProtocol.data_received, "(self, data: 'bytes') -> 'None'"),
    "send_400_response": (HttpToolsProtocol.send_400_response, "(self, msg: 'str') -> 'None'"),
    "on_message_begin": (HttpToolsProtocol.on_message_begin, "(self) -> 'None'"),
    "on_headers_complete": (HttpToolsProtocol.on_headers_complete, "(self) -> 'None'"),
    "on_message_complete": (HttpToolsProtocol.on_message_complete, "(self) -> 'None'"),
    "connection_lost": (HttpToolsProtocol.connection_lost, "(self, exc: 'Exception | None') -> 'None'"),
    "protocol's shutdown": (HttpToolsProtocol.shutdown, "(self) -> 'None'"),
    "get_client_addr": (get_client_addr, "(scope: 'WWWScope') -> 'str'"),
    "handle_exit": (uvicorn.Server.handle_exit, "(self, sig: 'int', frame: 'FrameType | None') -> 'None'"),
    "server's shutdown": (uvicorn.Server.shutdown, "(self, sockets: 'list[socket.socket] | None' = None) -> 'None'"),
}


def protocol() -> HttpToolsProtocol:
    """A protocol as uvicorn makes it, without a connection."""
    config = Config(echo_app(), http=HttpToolsProtocol, ws="none", lifespan="off", log_config=None)
    return HttpToolsProtocol(config, ServerState(), {})


def test_uvicorn_is_pinned_to_this_minor_version() -> None:
    """The installed uvicorn is the pinned minor version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert PINNED in project["dependencies"]
    assert version("uvicorn").startswith("0.54.")
    for lock in ("runtime", "cluster", "dev"):
        assert f"\nuvicorn=={version('uvicorn')} " in (ROOT / "requirements" / f"{lock}.txt").read_text(
            encoding="utf-8"
        )


@pytest.mark.parametrize(("member", "expected"), SIGNATURES.values(), ids=SIGNATURES)
def test_overridden_methods_have_their_signatures(member: Callable[..., object], expected: str) -> None:
    """The overridden and called methods have the expected parameters and results."""
    assert str(inspect.signature(member)) == expected


def test_everything_used_is_pinned() -> None:
    """upgrade.py uses only those parts of uvicorn's protocol that these tests check."""
    tree = ast.parse((ROOT / "gateway" / "connection" / "upgrade.py").read_text(encoding="utf-8"))
    [upgrade] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "UpgradeProtocol"]
    used = {
        node.attr for node in ast.walk(upgrade) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
    }
    used |= {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"http", "self._http"}
    }
    assert used - OWN == USED


async def test_a_new_protocol_has_every_used_member() -> None:
    """A new protocol has every used member, and its registries are the server's."""
    made = protocol()
    assert [name for name in sorted(USED) if not hasattr(made, name)] == ["url"]  # set by the first request
    made.on_message_begin()
    assert made.url == b""
    assert made.connections is made.server_state.connections
    assert made.tasks is made.server_state.tasks
    assert isinstance(made.connections, set)
    assert isinstance(made.tasks, set)
    assert made.server_state.default_headers == []
    assert made.server_state.total_requests == 0
    assert vars(made)["cycle"] is None
    assert made.limit_concurrency is None
    assert callable(made.config.loaded_app)


async def test_the_request_scope_has_what_the_websocket_scope_copies() -> None:
    """A request's scope has every key that the WebSocket scope copies; upgrade.py sets the others."""
    made = protocol()
    made.on_message_begin()
    assert sorted(made.scope) == [
        "asgi",
        "client",
        "headers",
        "http_version",
        "root_path",
        "scheme",
        "server",
        "state",
        "type",
    ]
    assert made.scope["headers"] is made.headers
    assert made.scope["http_version"] == "1.1"
    assert '"method"' in inspect.getsource(HttpToolsProtocol.on_headers_complete)


def test_a_request_cycle_knows_when_it_is_complete() -> None:
    """The cycle of a request knows whether its response is complete."""
    assert "self.response_complete = False" in inspect.getsource(RequestResponseCycle.__init__)


def test_every_status_has_a_line() -> None:
    """Every status has its line, with CRLF."""
    assert httptools_impl.STATUS_LINE[426] == b"HTTP/1.1 426 Upgrade Required\r\n"
    assert httptools_impl.STATUS_LINE.keys() == set(range(100, 600))


async def test_the_server_has_the_state_that_ours_sets() -> None:
    """The server of uvicorn has the state and the flags that the gateway's server sets."""
    server = uvicorn.Server(Config(echo_app(), lifespan="off", log_config=None))
    assert server.should_exit is False
    assert server.force_exit is False
    assert isinstance(server.server_state, ServerState)
    source = inspect.getsource(uvicorn.Server.shutdown)
    assert "for connection in list(self.server_state.connections):\n            connection.shutdown()" in source
