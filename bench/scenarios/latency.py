"""latency: from sending a message to its arrival from the other gateway, and to its ack, at half of saturation."""

from bench.load.engine import Plan
from bench.load.pool import Run
from bench.scenarios.rooms import Rooms, running_rivals
from bench.scenarios.stage import Contender, Stage, measure
from bench.statistics import Summary, percentile, summarise
from bench.targets import Outcome, evaluate

NAME = "latency"
IS_PINNED = False
ROOMS = Rooms(count=200, sockets=6, gateways=2)
PEERS = ("textbook", "socket.io")
PERCENTS = (50, 90, 99, 99.9)
# Messages under way during the search for saturation.
WINDOW = 400
NANOSECONDS_PER_MS = 1e6

Percentiles = dict[str, list[float]]


def run(stage: Stage) -> Outcome:
    """Find each server's saturation, then measure it at half of that. Raises CheckFailedError."""
    delivered: dict[str, Percentiles] = {}
    acknowledged: Percentiles = {}
    with running_rivals(stage, ROOMS, PEERS) as rivals:
        rates = {one.name: _half_of_saturation(stage, one) for one in rivals.contenders}
        for number in range(stage.pick(5, 3)):
            for one in rivals.contenders:
                measured, run = measure(
                    stage.load, one, Plan(stage.pick(2.5, 0.7), rate=rates[one.name], is_timed=True)
                )
                _note(run, delivered.setdefault(one.name, {}), acknowledged)
                found = delivered[one.name]
                stage.say(
                    f"round {number + 1}, {one.name} at {measured.rate:.0f}/s:"
                    f" p50 {found['p50'][-1]:.2f} ms, p99 {found['p99'][-1]:.2f} ms"
                )
    return _outcome(
        rates, {name: _summaries(each) for name, each in delivered.items()}, _summaries(acknowledged), rivals.skipped
    )


def _half_of_saturation(stage: Stage, one: Contender) -> float:
    measure(stage.load, one, Plan(stage.pick(1.5, 0.4), rate=1500))
    rates = [measure(stage.load, one, Plan(stage.pick(2.0, 0.4), window=WINDOW))[0].rate for _ in range(2)]
    stage.say(f"{one.name}: saturated at {max(rates):,.0f} messages/s")
    return max(rates) / 2


def _note(run: Run, delivered: Percentiles, acknowledged: Percentiles) -> None:
    for delays, into in ((run.delays_ns, delivered), (run.ack_delays_ns, acknowledged)):
        for percent in PERCENTS if delays else ():
            into.setdefault(f"p{percent:g}", []).append(percentile(delays, percent) / NANOSECONDS_PER_MS)


def _summaries(percentiles: Percentiles) -> dict[str, Summary]:
    return {name: summarise(values) for name, values in percentiles.items()}


def _outcome(
    rates: dict[str, float], delivered: dict[str, dict[str, Summary]], acks: dict[str, Summary], skipped: dict[str, str]
) -> Outcome:
    ours = delivered["seance"]
    targets = [
        evaluate("p50 to the other gateway, ms", ours["p50"].median, "<=", 2),
        evaluate("p99 to the other gateway, ms", ours["p99"].median, "<=", 10),
        evaluate("p50 of the ack, ms", acks["p50"].median, "<=", 2),
        evaluate("p99 of the ack, ms", acks["p99"].median, "<=", 10),
    ]
    results = {
        "unit": "ms from sending to receiving at half of saturation",
        "messages_per_second": rates,
        "to_the_other_gateway": delivered,
        "ack": acks,
        "ratios_to_textbook": {
            "p50": ours["p50"].median / delivered["textbook"]["p50"].median if "textbook" in delivered else None
        },
        "skipped": skipped,
    }
    return Outcome(NAME, results, targets)
