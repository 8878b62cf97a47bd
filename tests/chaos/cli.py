"""The command `python -m tests.chaos`: faults in the middle of load, and whether anything was lost."""

import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cluster.state.home import checkout
from cluster.supervisor.startup import raise_open_files
from tests.chaos import tables
from tests.chaos.runner import Runner
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.stage import Scenario
from tests.chaos.verdict import Verdict

FOLDER = checkout() / ".seance" / "chaos"
PAGES = (checkout() / "docs" / "reliability.md", checkout() / "README.md")


class Outcome(msgspec.Struct, frozen=True):
    """The last line of the output."""

    is_good: bool
    seeds: Sequence[int]
    seconds: float
    verdicts: Sequence[Verdict]
    failed: dict[str, str]
    """Runs that did not come to an end, by scenario and seed, with the reason."""


@click.command()
@click.option(
    "--seed", "--seeds", "seeds", envvar="SEED", help="Whole numbers, separated by commas.  [default: a random one]"
)
@click.option("--scenario", "names", multiple=True, envvar="SCENARIO", help="Only this one; may be repeated.")
@click.option("--list", "shows_list", is_flag=True, help="List the scenarios and do nothing.")
@click.option("--quick", is_flag=True, envvar="QUICK", help="The short form: fewer clients, shorter faults.")
@click.option("--long", "is_long", is_flag=True, help="Also what takes more than 10 minutes.")
@click.option("--report", is_flag=True, help="Put the tables into docs/reliability.md and the README.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=FOLDER,
    help="For ledgers and logs; emptied first.  [default: .seance/chaos]",
)
def main(
    *,
    seeds: str | None,
    names: tuple[str, ...],
    shows_list: bool,
    quick: bool,
    is_long: bool,
    report: bool,
    folder: Path,
) -> None:
    """Do what goes wrong in production, in the middle of load, and check afterwards that nothing was lost.

    The same seed gives the same schedule of faults. Prints a table; the last line is one JSON object. Exit code 1:
    something was wrong, and what, stands in the output and in the ledgers.
    """
    if shows_list:
        for one in SCENARIOS.values():
            click.echo(f"{one.name:<26} {one.summary}{' (--long)' if one.is_long_only else ''}")
        return
    chosen = _chosen(names, is_long=is_long)
    numbers = _numbers(seeds)
    raise_open_files()
    shutil.rmtree(folder, ignore_errors=True)
    began_at = time.monotonic()
    verdicts, failed = _run_all(chosen, numbers, folder, is_short=quick)
    outcome = Outcome(
        is_good=not failed and all(one.is_good for one in verdicts),
        seeds=numbers,
        seconds=round(time.monotonic() - began_at, 1),
        verdicts=verdicts,
        failed=failed,
    )
    Console(width=None if sys.stdout.isatty() else 200).print(tables.terminal_table(verdicts))
    if report:
        _report(outcome)
    encoded = msgspec.json.encode(outcome)
    (folder / "outcome.json").write_bytes(encoded + b"\n")
    click.echo(encoded)
    raise SystemExit(0 if outcome.is_good else 1)


def _chosen(names: Iterable[str], *, is_long: bool) -> list[Scenario]:
    names = list(names)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise click.UsageError(f"there is no scenario {unknown[0]!r}; `--list` shows them")
    return [SCENARIOS[name] for name in names] or [one for one in SCENARIOS.values() if is_long or not one.is_long_only]


def _numbers(seeds: str | None) -> list[int]:
    try:
        return [int(part) for part in seeds.split(",")] if seeds else [secrets.randbelow(10_000)]
    except ValueError as error:
        raise click.UsageError(f"{seeds!r} are no whole numbers, separated by commas") from error


def _run_all(
    scenarios: Sequence[Scenario], seeds: Sequence[int], folder: Path, *, is_short: bool
) -> tuple[list[Verdict], dict[str, str]]:
    console = Console(stderr=True)
    verdicts: list[Verdict] = []
    failed: dict[str, str] = {}
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Runner(folder, is_short=is_short) as runner, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(scenarios) * len(seeds))
        for seed in seeds:
            for scenario in scenarios:
                progress.update(task, description=f"{scenario.name}, seed {seed}")
                try:
                    verdict = runner.run(scenario, seed)
                except Exception as error:  # noqa: BLE001 - the others are run nevertheless
                    failed[f"{scenario.name} {seed}"] = f"{type(error).__name__}: {error}"[:2000]
                    console.print(f"[bold red]{scenario.name}, seed {seed}: did not come to an end: {error!r}")
                else:
                    verdicts.append(verdict)
                    _say(console, verdict, folder)
                progress.advance(task)
    return verdicts, failed


def _say(console: Console, verdict: Verdict, folder: Path) -> None:
    counts = verdict.counts
    console.print(
        f"{verdict.scenario}, seed {verdict.seed}: {'good' if verdict.is_good else '[bold red]BAD[/]'}, "
        f"{counts.acknowledged} messages, {counts.delivered} deliveries; {'; '.join(verdict.faults)}",
        highlight=False,
    )
    if not verdict.is_good:
        for problem in verdict.problems:
            console.print(f"    {problem}", highlight=False, markup=False)
        console.print(f"    ledger: {folder / f'{verdict.scenario}-{verdict.seed}'}", highlight=False, markup=False)
        short = " QUICK=1" if verdict.is_short else ""
        console.print(f"    again: make chaos SCENARIO={verdict.scenario} SEED={verdict.seed}{short}", highlight=False)


def _report(outcome: Outcome) -> None:
    if outcome.failed:
        raise click.ClickException("no report: some runs did not come to an end")
    summaries = {one.name: one.summary for one in SCENARIOS.values()}
    form = "The short form. " if any(one.is_short for one in outcome.verdicts) else ""
    when = f"{form}Seeds {', '.join(map(str, outcome.seeds))}; {outcome.seconds / 60:.0f} minutes for all of it."
    parts = (when, tables.scenario_table(outcome.verdicts, summaries), tables.demand_table(outcome.verdicts))
    long, short = "\n\n".join(parts), tables.short_table(outcome.verdicts)
    for page, text in zip(PAGES, (long, short), strict=True):
        written = tables.put_between(page, text)
        click.echo(f"{page.name}: {'written' if written else 'has no place for the table'}", err=True)
