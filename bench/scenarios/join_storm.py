"""join-storm: all clients join at once; joins per CPU second of one gateway, with exact capacity and roster."""

from contextlib import ExitStack

from bench.load.dialects import Seat
from bench.load.marks import CheckFailedError
from bench.processes import Server
from bench.product import create_sessions, get, running_backend, running_gateways
from bench.scenarios.stage import Stage
from bench.statistics import summarise
from bench.targets import Outcome, evaluate

NAME = "join-storm"
ROOM_SOCKETS = 6
# Every n-th session gets twice as many visitors as it has seats.
CROWDED_EVERY = 20
# Longer than a storm, so that seats of one storm are not freed during the next.
GRACE_SECONDS = 600


def run(stage: Stage) -> Outcome:
    """Several storms on one gateway. Raises CheckFailedError when a seat was given twice, or not at all."""
    rooms = stage.pick(500, 150)
    joins_per_second: list[float] = []
    with ExitStack() as stack:
        backend = stack.enter_context(running_backend(stage.folder, stage.cores.server, stage.cores.every))
        gateways = stack.enter_context(
            running_gateways(backend, 1, stage.cores.server, resume_grace_seconds=GRACE_SECONDS)
        )
        server, port = gateways.servers[0], gateways.ports[0]
        _storm(stage, server, port, rooms // 4)  # warm-up
        for number in range(stage.pick(7, 4)):
            joins, seconds = _storm(stage, server, port, rooms)
            joins_per_second.append(joins / seconds)
            stage.say(f"round {number + 1}: {joins} joins in {seconds:.2f} CPU s: {joins / seconds:.0f}/s")
    summary = summarise(joins_per_second)
    targets = [
        evaluate("joins per CPU second of one gateway", summary.median, ">=", 1500),
        evaluate("storms with exact capacity and roster", 1.0, "==", 1),  # any other outcome would have failed the run
    ]
    results = {"unit": "joins per CPU second", "rooms": rooms, "joins_per_cpu_second": summary}
    return Outcome(NAME, results, targets)


def _storm(stage: Stage, server: Server, port: int, rooms: int) -> tuple[int, float]:
    """All clients join; returns the joins and the gateway's CPU seconds."""
    sessions = create_sessions(port, rooms, ROOM_SOCKETS)
    seats, surplus = _visitors(sessions, port)
    before = server.cpu_seconds()
    let_in, refused = stage.load.connect("seance", "seance", seats)
    seconds = server.cpu_seconds() - before
    if refused != surplus or let_in != rooms * ROOM_SOCKETS:
        raise CheckFailedError(f"{let_in} let in and {refused} refused, of {rooms * ROOM_SOCKETS} and {surplus}")
    for session in sessions[:: CROWDED_EVERY // 2]:
        _check_roster(port, session)
    stage.load.close("seance")
    return let_in, seconds


def _visitors(sessions: list[str], port: int) -> tuple[list[Seat], int]:
    """The visitors, interleaved so that those of a session compete; and how many of them can't get a seat."""
    seats = [Seat(port, session, f"user-{place}") for place in range(ROOM_SOCKETS) for session in sessions]
    crowded = sessions[::CROWDED_EVERY]
    extra = [Seat(port, session, f"extra-{place}") for place in range(ROOM_SOCKETS) for session in crowded]
    middle = len(seats) // 2
    return [*seats[:middle], *extra, *seats[middle:]], len(extra)


def _check_roster(port: int, session: str) -> None:
    users = get(port, f"/api/sessions/{session}/users")
    roster = users["users"]
    if len({user["id"] for user in roster}) != ROOM_SOCKETS or len({user["name"] for user in roster}) != ROOM_SOCKETS:
        raise CheckFailedError(f"the roster of {session} is {roster}")
