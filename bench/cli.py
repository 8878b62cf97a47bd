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

from bench.load.marks import CheckFailedError
from bench.load.pool import running_load
from bench.processes import divide_cores
from bench.scenarios.stage import Stage
from bench.targets import Outcome

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
        click.echo(msgspec.json.encode(outcome))
    raise SystemExit(0 if is_well else 1)


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
    """What the servers said last: the reason of a failure often stands there."""
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        click.echo("\n".join((f"--- {log.name}", *(line[:500] for line in lines))), err=True)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends everything that was started here, in order."""
    del number, frame
    sys.exit(128 + signal.SIGTERM)
