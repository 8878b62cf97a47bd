"""fan-out: one session, 500 sockets; 50 events a second (no two events share a write), and at saturation."""

from contextlib import ExitStack

from bench.load.dialects import Seat
from bench.load.engine import Plan
from bench.product import create_sessions, running_backend, running_gateways
from bench.scenarios.stage import Contender, Measured, Stage, contender, measure_or_drop, ratio_of, started, table
from bench.targets import Outcome, evaluate

NAME = "fan-out"
SOCKETS = 500
RATE = 50
# Servers that join waiting events may have more of them waiting; for the others more would only take longer.
JOINING = {"seance", "nats", "centrifugo"}
REQUIRED = ("bare", "textbook", "nats", "socket.io")
MORE = ("python-socketio", "centrifugo")


def run(stage: Stage) -> Outcome:
    """Measure the product and its peers in turn. Raises CheckFailedError."""
    low = Plan(stage.pick(3.0, 0.6), rate=RATE)
    saturated: dict[str, list[Measured]] = {}
    slow: dict[str, list[Measured]] = {}
    failed: dict[str, str] = {}
    names = REQUIRED if stage.is_quick else REQUIRED + MORE
    with ExitStack() as stack:
        backend = stack.enter_context(running_backend(stage.folder, stage.cores.server, stage.cores.every))
        gateways = stack.enter_context(running_gateways(backend, 1, stage.cores.server))
        peers, skipped = stack.enter_context(started(stage, backend, names, stage.cores.server))
        contenders = [contender(gateways, backend), *peers]
        (session,) = create_sessions(gateways.ports[0], 1, SOCKETS)
        for one in contenders:
            stage.say(f"{one.name}: {SOCKETS} sockets")
            stage.load.connect(one.name, one.dialect, _seats(one, session))
            measure_or_drop(stage, one, Plan(0.2, rate=RATE), failed)
        for number in range(stage.pick(5, 3)):
            for one in contenders:
                measured = measure_or_drop(stage, one, low, failed)
                full = measure_or_drop(stage, one, _saturating(stage, one), failed)
                if measured is None or full is None:
                    continue
                slow.setdefault(one.name, []).append(measured)
                saturated.setdefault(one.name, []).append(full)
                stage.say(
                    f"round {number + 1}, {one.name}: {measured.per_delivery:.2f} µs per delivery,"
                    f" saturated {full.per_delivery:.2f} µs at {full.deliveries / full.messages * full.rate:,.0f}/s"
                )
        for one in contenders:
            stage.load.close(one.name)
    return _outcome(stage, slow, saturated, skipped, failed)


def _seats(one: Contender, session: str) -> list[Seat]:
    return [Seat(one.peer.ports[0], session, f"user-{number}", is_publisher=number == 0) for number in range(SOCKETS)]


def _saturating(stage: Stage, one: Contender) -> Plan:
    return Plan(stage.pick(2.0, 0.25), window=256 if one.name in JOINING else stage.pick(64, 24))


def _outcome(
    stage: Stage,
    slow: dict[str, list[Measured]],
    saturated: dict[str, list[Measured]],
    skipped: dict[str, str],
    failed: dict[str, str],
) -> Outcome:
    low, full = table(slow, _per_delivery), table(saturated, _per_delivery)
    targets = [
        evaluate("50 events/s: CPU per delivery ÷ bare transport.write loop", ratio_of(low, "bare"), "<=", 1.25),
        evaluate("50 events/s: CPU per delivery ÷ NATS over WebSocket", ratio_of(low, "nats"), "<=", 0.6),
        evaluate("50 events/s: CPU per delivery ÷ Socket.IO", ratio_of(low, "socket.io"), "<=", 0.75),
        evaluate("saturated: CPU per delivery ÷ NATS over WebSocket", ratio_of(full, "nats"), "<=", 0.7),
        evaluate("saturated: CPU per delivery ÷ textbook server", ratio_of(full, "textbook"), "<=", 0.1),
    ]
    results = {
        "unit": "CPU µs per delivery",
        "sockets": SOCKETS,
        "events_per_second": RATE,
        "paced": low,
        "saturated": full,
        "saturated_deliveries_per_second": table(saturated, lambda each: each.deliveries / each.messages * each.rate),
        "ratios_to_textbook": {"paced": ratio_of(low, "textbook"), "saturated": ratio_of(full, "textbook")},
        "failed": failed,
        "skipped": skipped if not stage.is_quick else {**skipped, **dict.fromkeys(MORE, "left out by QUICK=1")},
    }
    return Outcome(NAME, results, targets)


def _per_delivery(each: Measured) -> float:
    return each.per_delivery
