"""scaling: the same rooms on 1, 2 and 4 gateways; the cost of a delivery with each, Redis included."""

from contextlib import ExitStack

import msgspec

from bench.load.engine import Plan
from bench.product import create_sessions, running_backend, running_gateways
from bench.scenarios.rooms import Rooms, seats
from bench.scenarios.stage import Contender, Measured, Stage, contender, measure, table
from bench.statistics import ratio
from bench.targets import Outcome, evaluate

NAME = "scaling"
IS_PINNED = False
GATEWAYS = (1, 2, 4)
# Rooms with many sockets are the reason to use several gateways. Small rooms are measured too, without a target:
# each of their events costs a relay to every gateway for one or two sockets.
LARGE, SMALL = (10, 100), (200, 6)
DELIVERIES_PER_SECOND = 24_000


def run(stage: Stage) -> Outcome:
    """The numbers of gateways in turn. Raises CheckFailedError."""
    every = stage.cores.every
    rounds: dict[str, dict[str, list[Measured]]] = {"large": {}, "small": {}}
    with ExitStack() as stack:
        backend = stack.enter_context(running_backend(stage.folder, every, every))
        counts = stage.pick(GATEWAYS, (GATEWAYS[0], GATEWAYS[-1]))
        clusters = [
            contender(stack.enter_context(running_gateways(backend, count, every)), backend) for count in counts
        ]
        groups = {
            size: [_fill(stage, one, size, rooms) for one in clusters]
            for size, rooms in (("large", LARGE), ("small", SMALL))
        }
        for number in range(stage.pick(5, 3)):
            for size, (_, sockets) in (("large", LARGE), ("small", SMALL)):
                plan = Plan(stage.pick(3.0, 0.6), rate=DELIVERIES_PER_SECOND / sockets)
                for count, one in zip(counts, groups[size], strict=True):
                    measured, _ = measure(stage.load, one, plan)
                    rounds[size].setdefault(str(count), []).append(measured)
                    cost = f"{measured.per_delivery:.2f} µs per delivery"
                    stage.say(f"round {number + 1}, {size} rooms on {count} gateways: {cost}")
        for one in (*groups["large"], *groups["small"]):
            stage.load.close(one.name)
    return _outcome(rounds)


def _fill(stage: Stage, cluster: Contender, size: str, shape: tuple[int, int]) -> Contender:
    count, sockets = shape
    ports = cluster.peer.ports
    rooms = Rooms(count, sockets, len(ports))
    # Each group of sockets has its own name in the load.
    peer = msgspec.structs.replace(cluster.peer, name=f"{size} rooms on {len(ports)}")
    one = Contender(peer, "seance", cluster.path)
    names = create_sessions(ports[0], rooms.count, rooms.sockets)
    stage.load.connect(one.name, one.dialect, seats(names, sockets, ports))
    measure(stage.load, one, Plan(0.3, rate=100))
    return one


def _outcome(rounds: dict[str, dict[str, list[Measured]]]) -> Outcome:
    costs = {size: table(found, lambda each: each.per_delivery) for size, found in rounds.items()}
    growth = {
        size: {count: ratio(cost.median, found["1"].median) for count, cost in found.items()}
        for size, found in costs.items()
    }
    targets = [evaluate("CPU per delivery with 4 gateways ÷ with 1, rooms of 100", growth["large"]["4"], "<=", 1.15)]
    results = {
        "unit": "CPU µs per delivery, gateways and Redis",
        "deliveries_per_second": DELIVERIES_PER_SECOND,
        "rooms_of_100": costs["large"],
        "rooms_of_6": costs["small"],
        "growth": growth,
        "ratios_to_textbook": {},
    }
    return Outcome(NAME, results, targets)
