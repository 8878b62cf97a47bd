"""`seance up`, `down`, `status`, `scale`, `restart` and `clean-data`: the local cluster as a whole."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.context import (
    FailedError,
    NotRunningError,
    home_option,
    settings_in_force,
)
from cluster.commands.foreign import ask_before_sharing
from cluster.commands.requests import ask, change, record_of

if TYPE_CHECKING:
    from cluster.state.home import Home
    from cluster.state.records import Record

_END_SECONDS = 30.0
_ENDING_SECONDS = 1.0
GATEWAYS = click.IntRange(1, 64)
WORKERS = click.IntRange(1, 16)


@click.command()
@click.option("--gateways", type=GATEWAYS, help="Gateway replicas.  [default: GATEWAYS, else 2]")
@click.option("--workers", type=WORKERS, help="Persistence workers.  [default: WORKERS, else 1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port for clients; 0: any.  [default: PORT, else 8000]")
@click.option("--detach/--no-detach", envvar="DETACH", help="Return when everything is ready.  [default: DETACH]")
@click.option("--balancer/--no-balancer", default=True, help="Without: one gateway serves the port directly.")
@click.option("--share-database", is_flag=True, help="Make the tables beside another application's without asking.")
@home_option
def up(
    *,
    gateways: int | None,
    workers: int | None,
    port: int | None,
    detach: bool,
    balancer: bool,
    share_database: bool,
    home: Path,
) -> None:
    """Start the cluster: Redis, PostgreSQL, gateways, workers, balancer.

    It stays in the foreground and shows how everything is; Ctrl-C drains and stops. With --detach it returns when
    everything is ready, and `seance down` stops it. DATABASE_URL or REDIS_URL: that server is used, none is started.
    Where the cluster runs already, changed numbers are applied, and the command ends.
    """
    from cluster.commands.up_again import up_again
    from cluster.console.views import choose, flush_or_drop
    from cluster.process.ports import free_port
    from cluster.state.home import AlreadyRunningError, Home, is_running
    from cluster.supervisor.plan import Plan
    from cluster.supervisor.supervisor import supervise

    given = {"GATEWAYS": gateways, "WORKERS": workers, "PORT": port}
    for name, value in given.items():
        if value is not None:
            os.environ[name] = str(value)
    settings, sources = settings_in_force()
    place = Home(home.resolve())
    if is_running(place):
        up_again(place, settings, sources)
        return
    is_own_server = any(source.variable == "DATABASE_URL" and source.origin != "default" for source in sources)
    if is_own_server and not share_database:
        ask_before_sharing(settings)
    if detach:
        from cluster.process.detach import start_detached

        # The question is settled here, where there may be a terminal.
        options = ("--share-database", *(() if balancer else ("--no-balancer",)))
        raise SystemExit(start_detached(place, options))
    plan = Plan.of(place, settings, sources, os.environ, port=settings.port or free_port(), has_balancer=balancer)
    try:
        code = supervise(plan, choose())
    except AlreadyRunningError:
        # Another command started the cluster a moment ago.
        up_again(place, settings, sources)
        return
    flush_or_drop()
    raise SystemExit(code)


@click.command()
@home_option
def down(home: Path) -> None:
    """Drain and stop the cluster; its data is kept."""
    from cluster.control.protocol import ControlError, Stop
    from cluster.state import records
    from cluster.state.home import Home, is_running

    place = Home(home.resolve())
    if not is_running(place):
        _end_leftovers(place)
        return
    record = records.read(place.state)
    if record is not None:
        try:
            ask(record, Stop(record.token))
        except ControlError as error:
            # A supervisor that is about to end does not answer either.
            if not _has_ended(place, record, _ENDING_SECONDS):
                click.echo(f"{error}; killing it", err=True)
                records.kill_all((record.supervisor, *record.processes), _END_SECONDS)
    if not _has_ended(place, record, _END_SECONDS):
        raise FailedError("the supervisor does not end; stop it with Ctrl-C where it runs")


def _end_leftovers(place: "Home") -> None:
    """End the processes of a cluster whose supervisor was killed. Raises NotRunningError when there are none."""
    from cluster.state import records

    record = records.read(place.state)
    if record is None or not records.kill_all(record.processes, _END_SECONDS):
        raise NotRunningError
    place.state.unlink(missing_ok=True)
    click.echo("ended what a killed supervisor had left behind")


def _has_ended(place: "Home", record: "Record | None", timeout_seconds: float) -> bool:
    """Wait until the supervisor is gone or the time is over; return whether the supervisor is gone."""
    from cluster.state import records
    from cluster.state.home import is_running

    deadline = time.monotonic() + timeout_seconds
    while is_running(place) or (record is not None and records.is_alive(record.supervisor)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@home_option
def status(as_json: bool, home: Path) -> None:
    """Show the replicas with their addresses, states and load. Exit code 3: not running."""
    from cluster.console.views import lines
    from cluster.control.local import status_of
    from cluster.control.protocol import ControlError
    from cluster.state.home import Home
    from cluster.state.status import Status

    try:
        found = status_of(Home(home.resolve()))
    except ControlError as error:
        raise FailedError(str(error)) from error
    if as_json:
        click.echo(json.dumps((found or Status()).public()))
    if found is None:
        raise NotRunningError
    if not as_json:
        click.echo("\n".join(lines(found)))


@click.command()
@click.option("--gateways", type=GATEWAYS, envvar="GATEWAYS", help="How many gateways to run.")
@click.option("--workers", type=WORKERS, envvar="WORKERS", help="How many workers to run.")
@home_option
def scale(gateways: int | None, workers: int | None, home: Path) -> None:
    """Add replicas, or drain and remove them, while the cluster runs."""
    from cluster.control.protocol import Scale

    if gateways is None and workers is None:
        raise click.UsageError("say how many: --gateways N, --workers M, or both")
    record = record_of(home)
    change(record, Scale(record.token, gateways, workers))


@click.command()
@home_option
def restart(home: Path) -> None:
    """Replace the gateways one by one, while the others serve."""
    from cluster.control.protocol import Restart

    record = record_of(home)
    change(record, Restart(record.token))


@click.command("clean-data")
@home_option
def clean_data(home: Path) -> None:
    """Remove all data and logs of the stopped cluster."""
    from cluster.embedded import postgres
    from cluster.state.home import Home, command, is_running

    place = Home(home.resolve())
    if is_running(place):
        raise FailedError(f"the cluster is running; stop it first with `{command('down')}`")
    for folder in (place.root, postgres.relocated(place.data)):
        if folder.exists():
            shutil.rmtree(folder)
            click.echo(f"removed {folder}")
