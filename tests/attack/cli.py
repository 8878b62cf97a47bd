"""The command `python -m tests.attack`: one process does its worst, and two users must not notice."""

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cluster.state.home import checkout
from cluster.supervisor.startup import raise_open_files
from tests.attack import tables
from tests.attack.attack import Attack
from tests.attack.attacks import ATTACKS, SHORT
from tests.attack.result import Result
from tests.attack.runner import LONG_FORM, SHORT_FORM, Form, Runner
from tests.chaos.tables import put_between

FOLDER: Final = checkout() / ".seance" / "attack"
PAGE: Final = checkout() / "docs" / "security.md"

Round = tuple[Attack, int]
"""An attack, and from how many sockets."""


class Outcome(msgspec.Struct, frozen=True):
    """The last line of the output."""

    is_good: bool
    seconds: float
    results: Sequence[Result]
    missed: dict[str, Sequence[str]]
    """What did not hold, by attack."""
    failed: dict[str, str]
    """Attacks that did not come to an end, with the reason."""


@click.command()
@click.option("--attack", "names", multiple=True, envvar="ATTACK", help="Only this one; may be repeated.")
@click.option("--sockets", type=click.IntRange(1, 1000), help="From so many sockets.  [default: from 1, and from 100]")
@click.option("--list", "shows_list", is_flag=True, help="List the attacks and do nothing.")
@click.option("--quick", is_flag=True, envvar="QUICK", help="The short form: from 1 socket, 3 seconds each.")
@click.option(
    "--report/--no-report", default=None, help="Write docs/security.md.  [default: after the whole long form]"
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=FOLDER,
    help="For logs; emptied first.  [default: .seance/attack]",
)
def main(
    *,
    names: tuple[str, ...],
    sockets: int | None,
    shows_list: bool,
    quick: bool,
    report: bool | None,
    folder: Path,
) -> None:
    """Attack two gateways, and measure what two users who talk over them notice.

    Prints a table; the last line is one JSON object. Exit code 1: something did not hold, or an attack did not come to
    an end.
    """
    if shows_list:
        for one in ATTACKS.values():
            click.echo(f"{one.name:<20} {one.summary}")
        return
    form = SHORT_FORM if quick else LONG_FORM
    rounds = _rounds(names, sockets, is_short=quick)
    raise_open_files()
    shutil.rmtree(folder, ignore_errors=True)
    began_at = time.monotonic()
    results, failed = _run_all(rounds, folder, form)
    outcome = Outcome(
        is_good=not failed and not any(one.misses(form.bar) for one in results),
        seconds=round(time.monotonic() - began_at, 1),
        results=results,
        missed={one.name: found for one in results if (found := one.misses(form.bar))},
        failed=failed,
    )
    Console(width=None if sys.stdout.isatty() else 200).print(tables.terminal_table(results, form.bar))
    is_whole = not (names or sockets or quick)
    if is_whole if report is None else report:
        _report(outcome, form)
    encoded = msgspec.json.encode(outcome)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "outcome.json").write_bytes(encoded + b"\n")
    click.echo(encoded)
    raise SystemExit(0 if outcome.is_good else 1)


def _rounds(names: Iterable[str], sockets: int | None, *, is_short: bool) -> list[Round]:
    names = list(names)
    unknown = [name for name in names if name not in ATTACKS]
    if unknown:
        raise click.UsageError(f"there is no attack {unknown[0]!r}; `--list` shows them")
    chosen = [ATTACKS[name] for name in names or (SHORT if is_short else ATTACKS)]
    if sockets is not None:
        return [(one, sockets) for one in chosen]
    return [(one, number) for one in chosen for number in (one.sockets[:1] if is_short else one.sockets)]


def _run_all(rounds: Sequence[Round], folder: Path, form: Form) -> tuple[list[Result], dict[str, str]]:
    console = Console(stderr=True)
    results: list[Result] = []
    failed: dict[str, str] = {}
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Runner(folder, form) as runner, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(rounds))
        for attack, sockets in rounds:
            progress.update(task, description=f"{attack.name}, {sockets} socket{'s' if sockets > 1 else ''}")
            try:
                result = runner.run(attack, sockets)
            except Exception as error:  # noqa: BLE001 - the others are made nevertheless
                failed[f"{attack.name}, {sockets}"] = f"{type(error).__name__}: {error}"[:2000]
                console.print(f"[bold red]{attack.name}, {sockets}: did not come to an end: {error!r}")
            else:
                results.append(result)
                _say(console, result, form)
            progress.advance(task)
    return results, failed


def _say(console: Console, result: Result, form: Form) -> None:
    misses = result.misses(form.bar)
    console.print(
        f"{result.name}: {'[bold red]missed[/]' if misses else 'holds'}; p99 {result.before.p99:.0f} → "
        f"{result.during.p99:.0f} ms; attacker: {tables.told(result.tally)}",
        highlight=False,
    )
    for miss in misses:
        console.print(f"    {miss}", highlight=False, markup=False)


def _report(outcome: Outcome, form: Form) -> None:
    if outcome.failed:
        raise click.ClickException("no report: some attacks did not come to an end")
    text = tables.page_table(outcome.results, form.bar)
    is_written = put_between(PAGE, text, tables.BEGIN, tables.END)
    click.echo(f"{PAGE.name}: {'written' if is_written else 'has no place for the table'}", err=True)
