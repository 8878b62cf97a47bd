"""memory: the resident memory of a gateway per idle joined socket, in sessions of 6."""

import time
from contextlib import ExitStack

from bench.load.dialects import Seat
from bench.load.engine import Plan
from bench.processes import Server
from bench.product import create_sessions, running_backend, running_gateways
from bench.scenarios.stage import Contender, Stage, contender, started
from bench.statistics import Summary, ratio, summarise
from bench.targets import Outcome, evaluate

NAME = "memory"
ROOM_SOCKETS = 6
WARM_ROOMS = 50
PEERS = ("textbook", "nats", "socket.io")
SETTLE_SECONDS = 1.0
KIB = 1024
# Linux gives an address about 28 000 outgoing ports towards one server; so the load uses several addresses.
SOURCES = tuple(f"127.0.0.{number}" for number in range(1, 5))


def run(stage: Stage) -> Outcome:
    """Fill each server in turn, the product first. Raises CheckFailedError."""
    sockets = stage.pick(10_000, 2_000)
    # QUICK measures only the peers of the targets.
    names = PEERS[:2] if stage.is_quick else PEERS
    per_socket: dict[str, list[float]] = {}
    with ExitStack() as stack:
        backend = stack.enter_context(running_backend(stage.folder, stage.cores.server, stage.cores.every))
        for number in range(stage.pick(2, 1)):
            with ExitStack() as servers:
                gateways = servers.enter_context(running_gateways(backend, 1, stage.cores.server))
                peers, skipped = servers.enter_context(started(stage, backend, names, stage.cores.server))
                for one in (contender(gateways, backend), *peers):
                    kib = _fill(stage, one, sockets)
                    per_socket.setdefault(one.name, []).append(kib)
                    stage.say(f"round {number + 1}, {one.name}: {kib:.2f} KiB for each of {sockets} sockets")
    summaries = {name: summarise(values) for name, values in per_socket.items()}
    return _outcome(sockets, summaries, skipped)


def _fill(stage: Stage, one: Contender, sockets: int) -> float:
    """KiB of resident memory for each socket, after a warm-up with other sockets; every one is in its room."""
    rooms = -(-sockets // ROOM_SOCKETS)
    server = one.peer.servers[0]
    _connect(stage, one, WARM_ROOMS, "warm")
    before = _settled(server)
    connected = _connect(stage, one, rooms, "cold")
    after = _settled(server)
    # The sockets are idle but alive: each room gets a message.
    stage.load.run(one.name, Plan(1.0, rate=rooms + WARM_ROOMS))
    stage.load.close(one.name)
    return (after - before) / KIB / connected


def _connect(stage: Stage, one: Contender, rooms: int, prefix: str) -> int:
    port = one.peer.ports[0]
    if one.name == "seance":
        names = create_sessions(port, rooms, ROOM_SOCKETS)
    else:
        names = [f"{prefix}-{number}" for number in range(rooms)]
    seats = [
        Seat(port, room, f"user-{place}", source=SOURCES[number % len(SOURCES)], is_publisher=place == 0)
        for number, room in enumerate(names)
        for place in range(ROOM_SOCKETS)
    ]
    connected, _ = stage.load.connect(one.name, one.dialect, seats)
    return connected


def _settled(server: Server) -> int:
    time.sleep(SETTLE_SECONDS)
    return server.resident_bytes()


def _outcome(sockets: int, summaries: dict[str, Summary], skipped: dict[str, str]) -> Outcome:
    ours = summaries["seance"].median
    ratios = {name: ratio(ours, found.median) for name, found in summaries.items() if name != "seance"}
    targets = [
        evaluate("KiB of gateway RSS per idle joined socket", ours, "<=", 4),
        evaluate("RSS per socket ÷ textbook server", ratios.get("textbook"), "<=", 0.2),
        evaluate("RSS per socket ÷ NATS over WebSocket", ratios.get("nats"), "<=", 0.2),
    ]
    results = {
        "unit": "KiB of resident memory per socket",
        "sockets": sockets,
        "per_socket": summaries,
        "ratios_to_textbook": {"per_socket": ratios.get("textbook")},
        "skipped": skipped,
    }
    return Outcome(NAME, results, targets)
