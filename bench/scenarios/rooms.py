"""Rooms over several gateways, for the scenarios that publish to many small sessions."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec

from bench.load.dialects import Seat
from bench.product import Backend, create_sessions, running_backend, running_gateways
from bench.scenarios.stage import Contender, Stage, contender, started


class Rooms(msgspec.Struct, frozen=True):
    """How many rooms of how many sockets, over how many gateways."""

    count: int
    sockets: int
    gateways: int


class Rivals(msgspec.Struct, frozen=True):
    """The product and its peers, running, and the peers that can't run."""

    contenders: list[Contender]
    skipped: dict[str, str]
    backend: Backend


@contextmanager
def running_rivals(stage: Stage, rooms: Rooms, peers: Sequence[str]) -> Iterator[Rivals]:
    """The product and these peers with as many servers each; no server pinned to a core."""
    every = stage.cores.every
    with ExitStack() as stack:
        backend = stack.enter_context(running_backend(stage.folder, every, every))
        gateways = stack.enter_context(running_gateways(backend, rooms.gateways, every))
        others, skipped = stack.enter_context(started(stage, backend, peers, every, rooms.gateways))
        contenders = [contender(gateways, backend), *others]
        for one in contenders:
            fill(stage, one, rooms)
        yield Rivals(contenders, skipped, backend)
        for one in contenders:
            stage.load.close(one.name)


def fill(stage: Stage, one: Contender, rooms: Rooms) -> None:
    """Connect every socket; a room's sockets are spread over the gateways."""
    stage.say(f"{one.name}: {rooms.count} rooms of {rooms.sockets} sockets over {rooms.gateways} gateways")
    if one.name == "seance":
        names = create_sessions(one.peer.ports[0], rooms.count, rooms.sockets)
    else:
        names = [f"room-{number}" for number in range(rooms.count)]
    stage.load.connect(one.name, one.dialect, seats(names, rooms.sockets, one.peer.ports))


def seats(names: Sequence[str], sockets: int, ports: Sequence[int]) -> list[Seat]:
    """The first socket of each room publishes; rooms begin at different gateways. Timed: sockets at another one."""
    found: list[Seat] = []
    for number, room in enumerate(names):
        for place in range(sockets):
            turn = (number + place) % len(ports)
            is_elsewhere = turn != number % len(ports)
            found.append(Seat(ports[turn], room, f"user-{place}", is_publisher=place == 0, is_timed=is_elsewhere))
    return found
