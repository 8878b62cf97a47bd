"""Requests of commands to the running supervisor, with its progress printed."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.context import FailedError, NotRunningError

if TYPE_CHECKING:
    from cluster.control.protocol import Request
    from cluster.state.records import Record

# Longest silence of a supervisor: a draining process may take SHUTDOWN_TIMEOUT_SECONDS, up to 600.
_SILENCE_SECONDS = 700.0


def record_of(home: Path) -> "Record":
    """The record of the cluster that runs in this home. Raises NotRunningError."""
    from cluster.state import records
    from cluster.state.home import Home, is_running

    place = Home(home.resolve())
    record = records.read(place.state)
    if record is None or not is_running(place):
        raise NotRunningError
    return record


def ask(record: "Record", request: "Request") -> None:
    """Print the progress of a request until it is done. Raises FailedError and ControlError."""
    from cluster.control.protocol import Done, Line
    from cluster.control.protocol import ask as replies_to

    for reply in replies_to(record, request, _SILENCE_SECONDS):
        if isinstance(reply, Line):
            click.echo(reply.text)
        elif isinstance(reply, Done) and reply.problem is not None:
            raise FailedError(reply.problem)


def change(record: "Record", request: "Request") -> None:
    """`ask`, where a supervisor that does not answer is a failure too. Raises FailedError."""
    from cluster.control.protocol import ControlError

    try:
        ask(record, request)
    except ControlError as error:
        raise FailedError(str(error)) from error
