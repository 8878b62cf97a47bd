"""The arrows between the rooms of the house: who may import whom."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ALLOWED: dict[str, frozenset[str]] = {
    "gateway": frozenset({"broker", "persistence", "metrics"}),
    "broker": frozenset(),
    "persistence": frozenset({"broker", "metrics"}),
    "metrics": frozenset(),
    "migrations": frozenset({"persistence"}),
    "cluster": frozenset({"gateway", "broker", "persistence", "migrations", "metrics", "seance_client"}),
    # It starts servers and processes as the cluster does, fills streams by the names of their keys, and otherwise knows
    # the product only from outside.
    "bench": frozenset({"seance_client", "cluster", "broker"}),
    # In clients/: its users have nothing else of ours.
    "seance_client": frozenset(),
}
ROOMS = frozenset({*ALLOWED, "clients", "tests"})
FOLDERS = {"seance_client": Path("clients/python/seance_client")}
# Where a room opens only some of its doors to another.
DOORS: dict[tuple[str, str], tuple[str, ...]] = {
    ("bench", "broker"): ("broker.keys",),
    ("gateway", "persistence"): (
        "persistence.address",
        "persistence.connections",
        "persistence.engine",
        "persistence.errors",
        "persistence.installation",
        "persistence.messages",
        "persistence.revocations",
        "persistence.sessions",
    ),
    ("persistence", "broker"): (
        "broker.redis.backoff",
        "broker.redis.installation",
        "broker.redis.link",
        "broker.redis.scripts",
        "broker.sessions.epochs",
        "broker.sessions.recorded",
        "broker.sessions.bans",
        "broker.sessions.revocations",
        "broker.errors",
        "broker.events",
        "broker.keys",
        "broker.secrecy",
        "broker.streams.lag",
        "broker.streams.ownership",
        "broker.streams.partition_streams",
    ),
    ("migrations", "persistence"): ("persistence.tables", "persistence.engine", "persistence.schema"),
}
# What a file that says "Pure" in its docstring must not import: nothing that waits, reads a clock or talks to a server.
NOT_PURE = frozenset(
    {
        *("asyncio", "socket", "ssl", "selectors", "threading", "subprocess", "time", "random"),
        *("starlette", "uvicorn", "httptools", "httpx", "redis", "hiredis", "sqlalchemy", "asyncpg"),
    }
)
# Pure files that say so in other words, or that must not stop being pure.
PURE = (
    *("gateway/protocol/decoder.py", "gateway/protocol/frames.py", "gateway/protocol/handshake.py"),
    *("gateway/protocol/close_codes.py", "gateway/protocol/commands.py", "gateway/protocol/server_events.py"),
    *("gateway/protocol/state_machine.py", "gateway/rooms/room.py", "gateway/rooms/sequencer.py"),
    *("gateway/rooms/member.py", "gateway/rooms/effects.py", "gateway/recovery/cursor.py"),
    *(
        f"clients/python/seance_client/{name}.py"
        for name in ("machine", "commands", "outbox", "order", "recovery", "silence", "wire", "closes")
    ),
)
# The rooms of a package from the top: a room imports only from rooms on lower floors, never from its own floor.
FLOORS: dict[str, tuple[frozenset[str], ...]] = {
    "gateway": (
        frozenset({"serve"}),
        frozenset({"telemetry"}),
        frozenset({"lifecycle", "app"}),
        frozenset({"connection"}),
        frozenset({"rest"}),
        frozenset({"access"}),
        frozenset({"recovery"}),
        frozenset({"rooms"}),
        frozenset({"protocol"}),
        frozenset({"configuration"}),
        frozenset({"secret_strength"}),
        frozenset({"settings", "errors", "tasks", "counters"}),
        frozenset({"limits", "names", "env_file", "violations"}),
    ),
    # The supervisor prints to console/ and starts the servers of embedded/ as processes. control/ lies below the
    # supervisor: a command that asks a running supervisor must not import the code that runs one.
    "cluster": (
        frozenset({"__main__", "example", "environment"}),
        frozenset({"cli"}),
        frozenset({"commands"}),
        frozenset({"checks", "chat", "supervisor"}),
        frozenset({"console", "embedded", "control"}),
        frozenset({"process", "database"}),
        frozenset({"state", "migrate"}),
    ),
    "broker": (
        frozenset({"streams"}),
        frozenset({"pubsub"}),
        frozenset({"limits"}),
        frozenset({"sessions"}),
        frozenset({"redis"}),
        frozenset({"keys", "names", "events", "errors", "secrecy"}),
    ),
}


def modules() -> list[Path]:
    """Every source file of the rooms, relative to the checkout."""
    folders = (ROOT / FOLDERS.get(room, Path(room)) for room in ALLOWED)
    return sorted(path.relative_to(ROOT) for folder in folders for path in folder.rglob("*.py"))


def room_of(path: Path) -> str:
    """The name by which a source file's room is imported."""
    return next((room for room, folder in FOLDERS.items() if path.is_relative_to(folder)), path.parts[0])


def imported(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            # `from broker import keys` names a module, `from broker.keys import log` something inside one.
            yield from (f"{node.module}.{name.name}" for name in node.names)


def docstring_of(path: Path) -> str:
    """What a file says that it is for."""
    return ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) or ""


def opens(door: str, name: str) -> bool:
    """Whether the imported name is that module, something in it, or the package that holds it."""
    return name == door or name.startswith(f"{door}.")


@pytest.mark.parametrize("path", modules(), ids=str)
def test_imports_only_what_is_allowed(path: Path) -> None:
    """A room imports only the rooms that the architecture's table gives it, through the doors that are open."""
    room = room_of(path)
    for name in imported(path):
        other = name.partition(".")[0]
        if other == room or other not in ROOMS:
            continue
        assert other in ALLOWED[room], f"{path}: {room}/ may not import {name}"
        doors = DOORS.get((room, other))
        assert doors is None or any(opens(door, name) for door in doors), f"{path}: {name} is not open to {room}/"


def pure_files() -> list[Path]:
    """Every file that is listed as pure, or says that it is."""
    saying = [path for path in modules() if re.search(r"\bPure\b", docstring_of(path))]
    return sorted({*saying, *map(Path, PURE)})


@pytest.mark.parametrize("path", pure_files(), ids=str)
def test_pure_modules_know_no_io(path: Path) -> None:
    """What is meant to be pure imports nothing that waits, reads a clock or talks to a server."""
    assert [name for name in imported(path) if name.partition(".")[0] in NOT_PURE] == []


@pytest.mark.parametrize("door", sorted({door for doors in DOORS.values() for door in doors}))
def test_every_door_leads_to_a_module(door: str) -> None:
    """No door is kept open to a module that is not there."""
    assert Path(*door.split(".")).with_suffix(".py") in modules()


@pytest.mark.parametrize("path", modules(), ids=str)
def test_says_what_it_is_for(path: Path) -> None:
    """Every module begins with a docstring."""
    assert docstring_of(path), f"{path} does not say what it is for"


def test_settings_are_read_once() -> None:
    """Only the command line reads the environment; everything else is given its values."""
    readers = [str(path) for path in modules() if "os.environ" in (ROOT / path).read_text(encoding="utf-8")]
    allowed = {
        "cluster/commands/context.py",
        "cluster/commands/lifecycle.py",
        "cluster/process/detach.py",
        "cluster/embedded/postgres.py",
        # What pip is told.
        "cluster/environment.py",
        "migrations/env.py",
        # What servers that are measured need of the environment: PATH and the like, no setting.
        "bench/peers/catalogue.py",
        "bench/processes.py",
    }
    assert set(readers) <= allowed


# Packages in which a cycle of imports is an error.
WITHOUT_CYCLES = ("gateway", "broker", "persistence", "metrics", "migrations", "cluster", "bench")


def floor_of(package: str, room: str) -> int:
    """The number of a room's floor in its package, counted from the top."""
    [floor] = [number for number, rooms in enumerate(FLOORS[package]) if room in rooms]
    return floor


def arrows(package: str) -> list[tuple[str, str, str, str]]:
    """Every import of one room from another, also inside functions: package, file, room, imported room."""
    found = []
    for path in (path for path in modules() if path.parts[0] == package and path.parts[1:] != ("__init__.py",)):
        room = path.with_suffix("").parts[1]
        others = {name.split(".")[1] for name in imported(path) if name.startswith(f"{package}.")}
        found += [(package, str(path), room, other) for other in sorted(others - {room})]
    return found


@pytest.mark.parametrize(
    ("package", "path", "room", "other"), [arrow for package in FLOORS for arrow in arrows(package)]
)
def test_imports_inside_a_package_point_down(package: str, path: str, room: str, other: str) -> None:
    """A room imports only from rooms on lower floors, at the top of a file and inside functions."""
    assert floor_of(package, other) > floor_of(package, room), f"{path}: {room} may not import {other}"


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_has_a_floor(package: str) -> None:
    """The floors name every room of the package, and no room that is not there."""
    rooms = {path.with_suffix("").parts[1] for path in modules() if path.parts[0] == package} - {"__init__"}
    assert {room for floor in FLOORS[package] for room in floor} == rooms


def module_name(path: Path) -> str:
    """The dotted name of a source file; a package's name for its `__init__.py`."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def top_level_imports(path: Path) -> Iterator[str]:
    """The full names of what a file imports when the file itself is imported: not in functions."""
    waiting: list[ast.AST] = [ast.parse((ROOT / path).read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def import_graph(packages: tuple[str, ...]) -> dict[str, set[str]]:
    """Module → the modules of these packages that the module imports at its top level."""
    paths = {module_name(path): path for path in modules() if path.parts[0] in packages}
    graph: dict[str, set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        for full in top_level_imports(path):
            # `from broker import keys` imports the module `broker.keys`, `from broker.keys import log` `broker.keys`.
            target = full if full in paths else full.rpartition(".")[0]
            if target in paths:
                graph[name].add(target)
    return graph


def import_cycle(graph: dict[str, set[str]]) -> list[str]:
    """A cycle in the graph, as the modules on the way; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def test_no_module_imports_itself_through_others() -> None:
    """No chain of top-level imports leads back to the module where the chain began."""
    assert import_cycle(import_graph(WITHOUT_CYCLES)) == []


def test_a_cycle_of_imports_is_found() -> None:
    """The search sees a cycle over three modules, and none in a diamond."""
    assert len(set(import_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}))) == 3
    assert import_cycle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []
    assert import_graph(("cluster",))["cluster.__main__"] == {"cluster.cli"}
