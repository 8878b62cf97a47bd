"""`seance up` where the cluster runs already: nothing is started, and changed numbers are applied."""

import time
from collections.abc import Sequence

import click

from cluster.commands.context import FailedError
from cluster.commands.requests import change, record_of
from cluster.console.views import lines
from cluster.control.local import settings_of, status_of
from cluster.control.protocol import ControlError, Scale
from cluster.state import records
from cluster.state.home import Home, command, is_running
from cluster.state.status import Status
from gateway.configuration import Source
from gateway.settings import Settings

_POLL_SECONDS = 0.05


def up_again(place: Home, settings: Settings, sources: Sequence[Source]) -> None:
    """Wait until the running cluster is ready, give it the numbers that somebody set, and print its status.

    Raises FailedError when the cluster ends meanwhile, can't be scaled, or has another port than the one that is set.
    """
    click.echo(f"a cluster runs already in {place.root}")
    _wait_until_ready(place)
    status = _status(place)
    given = {source.variable for source in sources if source.origin != "default"}
    port = settings_of(status)["port"]
    if "PORT" in given and settings.port not in (0, port):
        raise FailedError(
            f"the running cluster has port {port}, and PORT is {settings.port}: the port can't change while the "
            f"cluster runs. Stop the cluster first with `{command('down')}`."
        )
    gateways = settings.gateways if "GATEWAYS" in given and settings.gateways != len(status.gateways) else None
    workers = settings.workers if "WORKERS" in given and settings.workers != len(status.workers) else None
    if gateways is not None or workers is not None:
        record = record_of(place.root)
        change(record, Scale(record.token, gateways, workers))
        status = _status(place)
    click.echo("\n".join(lines(status)))
    if status.problem is not None:
        raise FailedError(f"clients are not served: {status.problem}")


def _wait_until_ready(place: Home) -> None:
    """Return when the start that another command began is complete. Raises FailedError when it failed."""
    while (record := records.read(place.state)) is None or not record.is_ready:
        if not is_running(place):
            raise FailedError("the cluster that another command was starting has ended")
        time.sleep(_POLL_SECONDS)


def _status(place: Home) -> Status:
    try:
        status = status_of(place)
    except ControlError as error:
        raise FailedError(str(error)) from error
    if status is None:
        raise FailedError("the cluster has ended in the meantime")
    return status
