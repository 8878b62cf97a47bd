"""small-rooms: 200 sessions of 6 sockets over 2 gateways, through Redis, at 500 to 4 000 messages a second."""

from bench.load.engine import Plan
from bench.scenarios.rooms import Rooms, running_rivals
from bench.scenarios.stage import Measured, Stage, measure_or_drop, ratio_of, table
from bench.statistics import Summary
from bench.targets import Outcome, Target, evaluate

NAME = "small-rooms"
IS_PINNED = False  # not pinned: three servers and the load share the cores
ROOMS = Rooms(count=200, sockets=6, gateways=2)
RATES = (500, 1500, 4000)
PEERS = ("textbook", "socket.io")
MORE = ("python-socketio", "centrifugo")

Rounds = dict[int, dict[str, list[Measured]]]


def run(stage: Stage) -> Outcome:
    """Measure the product and its peers in turn at each rate. Raises CheckFailedError."""
    rounds: Rounds = {rate: {} for rate in RATES}
    failed: dict[str, str] = {}
    names = PEERS if stage.is_quick else PEERS + MORE
    with running_rivals(stage, ROOMS, names) as rivals:
        for one in rivals.contenders:
            measure_or_drop(stage, one, Plan(stage.pick(1.5, 0.4), rate=RATES[1]), failed)
        for number in range(stage.pick(5, 3)):
            for rate in RATES:
                for one in rivals.contenders:
                    measured = measure_or_drop(stage, one, Plan(stage.pick(2.0, 0.35), rate=rate), failed)
                    if measured is None:
                        continue
                    rounds[rate].setdefault(one.name, []).append(measured)
                    late = "" if measured.keeps_up else f", {measured.drain_seconds:.1f} s late"
                    stage.say(
                        f"round {number + 1}, {one.name} at {rate}/s: {measured.per_message:.0f} µs per message{late}"
                    )
    return _outcome(stage, rounds, rivals.skipped, failed)


def _outcome(stage: Stage, rounds: Rounds, skipped: dict[str, str], failed: dict[str, str]) -> Outcome:
    summaries = {rate: table(of_rate, lambda each: each.per_message) for rate, of_rate in rounds.items()}
    targets = [
        evaluate(f"{rate} messages/s: CPU per message ÷ {peer}", ratio_of(summaries[rate], key), "<=", target)
        for peer, key, target in (("textbook server", "textbook", 0.45), ("Socket.IO", "socket.io", 0.6))
        for rate in RATES
    ]
    targets.append(_keeps_up(rounds))
    results = {
        "unit": "CPU µs per message, gateways and Redis",
        "per_message": _named(summaries),
        "per_delivery": _named({rate: table(of, lambda each: each.per_delivery) for rate, of in rounds.items()}),
        "rounds_that_kept_up": {
            str(rate): {name: sum(each.keeps_up for each in found) for name, found in of_rate.items()}
            for rate, of_rate in rounds.items()
        },
        "seconds_late": _named({rate: table(of, lambda each: each.drain_seconds) for rate, of in rounds.items()}),
        "ratios_to_textbook": {str(rate): ratio_of(summaries[rate], "textbook") for rate in RATES},
        "failed": failed,
        "skipped": skipped if not stage.is_quick else {**skipped, **dict.fromkeys(MORE, "left out by QUICK=1")},
    }
    return Outcome(NAME, results, targets)


def _keeps_up(rounds: Rounds) -> Target:
    found = rounds[RATES[-1]]["seance"]
    return evaluate(
        f"{RATES[-1]} messages/s: share of rounds that keep up",
        sum(each.keeps_up for each in found) / len(found),
        ">=",
        1,
    )


def _named(summaries: dict[int, dict[str, Summary]]) -> dict[str, dict[str, Summary]]:
    return {str(rate): summary for rate, summary in summaries.items()}
