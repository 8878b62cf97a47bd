"""The arrows between the rooms of the house: who may import whom."""

import ast
from collections.abc import Iterator
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
    # It starts servers and processes as the cluster does, and otherwise knows the product only from outside.
    "bench": frozenset({"seance_client", "cluster"}),
    # In clients/: whoever uses it has nothing else of ours.
    "seance_client": frozenset(),
}
ROOMS = frozenset({*ALLOWED, "clients", "tests"})
FOLDERS = {"seance_client": Path("clients/python/seance_client")}
# Where a room opens only some of its doors to another.
DOORS: dict[tuple[str, str], tuple[str, ...]] = {
    ("gateway", "persistence"): (
        "persistence.engine",
        "persistence.errors",
        "persistence.marks",
        "persistence.messages",
        "persistence.sessions",
    ),
    ("persistence", "broker"): (
        "broker.redis.client",
        "broker.sessions.epochs",
        "broker.errors",
        "broker.events",
        "broker.keys",
        "broker.streams.ownership",
        "broker.streams.partition_streams",
    ),
    ("migrations", "persistence"): ("persistence.tables", "persistence.engine"),
}
# Inside the gateway: the wings don't know the composition root, and the codec and the state machine know no I/O.
PURE = {
    "gateway/protocol/frames.py": ("asyncio", "socket", "starlette", "uvicorn", "redis", "broker"),
    "gateway/protocol/state_machine.py": ("asyncio", "socket", "starlette", "uvicorn", "redis", "time"),
    "persistence/writer.py": ("redis",),
    **{
        f"clients/python/seance_client/{name}.py": ("asyncio", "socket", "time", "websockets", "httpx", "random")
        for name in ("machine", "commands", "outbox", "order", "recovery", "silence", "wire", "closes")
    },
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


@pytest.mark.parametrize("path", sorted(PURE))
def test_pure_modules_know_no_io(path: str) -> None:
    """What is meant to be pure imports nothing that waits, reads a clock or talks to a server."""
    found = [name for name in imported(Path(path)) if name.partition(".")[0] in PURE[path]]
    assert found == []


@pytest.mark.parametrize("path", modules(), ids=str)
def test_says_what_it_is_for(path: Path) -> None:
    """Every module begins with a docstring."""
    source = (ROOT / path).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), f"{path} does not say what it is for"


def test_settings_are_read_once() -> None:
    """Only the command line reads the environment; everything else is given its values."""
    readers = [str(path) for path in modules() if "os.environ" in (ROOT / path).read_text(encoding="utf-8")]
    allowed = {
        "cluster/commands/context.py",
        "cluster/commands/lifecycle.py",
        "cluster/process/detach.py",
        "cluster/embedded/postgres.py",
        "migrations/env.py",
        # What servers that are measured need of the environment: PATH and the like, no setting.
        "bench/peers/catalogue.py",
        "bench/processes.py",
    }
    assert set(readers) <= allowed
