"""The command line: `python -m bench run`, `report` and `check`."""

import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import msgspec

from bench import regression, report, store
from bench.load.marks import CheckFailedError
from bench.load.pool import running_load
from bench.peers.catalogue import ROOT
from bench.processes import divide_cores
from bench.scenarios.stage import Stage
from bench.targets import Outcome

# The scenarios that measure the textbook server too.
CHECKED = ("fan-out", "small-rooms", "memory")
LOG_LINES = 8
SCENARIOS = ("fan-out", "small-rooms", "worker", "memory", "join-storm", "latency", "scaling")


@click.group()
def main() -> None:
    """Measure the product beside its peers, on this machine, over loopback."""
    signal.signal(signal.SIGTERM, _end)


@main.command()
@click.option("--scenario", "scenarios", multiple=True, type=click.Choice(SCENARIOS), help="Only this one.")
@click.option("--quick", is_flag=True, envvar="QUICK", help="One scenario in 25 s: fewer rounds, the same targets.")
def run(scenarios: tuple[str, ...], quick: bool) -> None:
    """Run all scenarios (about 10 minutes) or those named; the last line of each is one JSON object."""
    is_well = True
    for name in scenarios or SCENARIOS:
        click.echo(f"{name}{' (quick)' if quick else ''}", err=True)
        try:
            outcome = run_scenario(name, is_quick=quick)
        except CheckFailedError as error:
            click.echo(f"{name}: this run does not count: {error}", err=True)
            is_well = False
            continue
        store.save(outcome, is_quick=quick)
        click.echo(report.target_table([outcome]))
        click.echo(msgspec.json.encode(outcome))
    if not scenarios and not quick:
        write_report()
    raise SystemExit(0 if is_well else 1)


@main.command("report")
def report_command() -> None:
    """Make the tables, the summary and the plots again from the stored results."""
    write_report()


@main.command()
@click.option(
    "--tolerance", default=0.3, show_default=True, help="How much a ratio may grow before it is a regression."
)
@click.option("--scenario", "scenarios", multiple=True, type=click.Choice(CHECKED), help="Only this one.")
def check(tolerance: float, scenarios: tuple[str, ...]) -> None:
    """Compare a short run's ratios to the textbook server with the stored ones; exit code 1 when one is worse."""
    is_worse = False
    for name in scenarios or CHECKED:
        stored = store.load(name)
        if stored is None:
            raise click.ClickException(f"there is no stored result of {name}: run `make bench` first")
        found = msgspec.to_builtins(run_scenario(name, is_quick=True))["results"]["ratios_to_textbook"]
        for each in regression.compare(found, stored.outcome.results["ratios_to_textbook"], tolerance):
            verdict = "WORSE" if each.is_worse else "fine"
            click.echo(
                f"{name}, {each.name}: {each.now:.3f} of the textbook server's cost, was {each.then:.3f}: {verdict}"
            )
            is_worse |= each.is_worse
    raise SystemExit(1 if is_worse else 0)


def write_report() -> None:
    """Write the tables into docs/performance.md and bench/results/table.md, a summary into README.md, the plots."""
    from bench import plots

    outcomes = [stored.outcome for name in SCENARIOS if (stored := store.load(name)) is not None]
    table = f"{report.target_table(outcomes)}\n\n{report.measurement_tables(outcomes)}"
    (store.RESULTS / "table.md").write_text(table + "\n", encoding="utf-8")
    report.update(ROOT / "docs" / "performance.md", table)
    report.update(ROOT / "README.md", report.summary(outcomes))
    drawn = plots.draw({outcome.scenario: outcome.results for outcome in outcomes}, ROOT / "docs" / "plots")
    click.echo(f"wrote the table and {len(drawn)} plots", err=True)


def run_scenario(name: str, *, is_quick: bool) -> Outcome:
    """One scenario, from nothing to its outcome. Raises CheckFailedError."""
    module = import_module(f"bench.scenarios.{name.replace('-', '_')}")
    cores = divide_cores()
    load_cores = cores.load if getattr(module, "IS_PINNED", True) else cores.every
    began_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running_load(len(cores.load), load_cores) as load:
        try:
            outcome: Outcome = module.run(Stage(Path(folder), cores, load, is_quick, began_at))
        except CheckFailedError:
            _show_logs(Path(folder))
            raise
    return outcome


def _show_logs(folder: Path) -> None:
    """Print the last lines of the servers' logs, which often have the reason of a failure."""
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        click.echo("\n".join((f"--- {log.name}", *(line[:500] for line in lines))), err=True)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends all processes of the run, in order."""
    del number, frame
    sys.exit(128 + signal.SIGTERM)
