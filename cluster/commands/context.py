"""For all commands: the errors with exit codes, the settings in force, and the home of the local cluster."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cluster.state.home import command as started_with
from cluster.state.home import default_root, is_checkout, settings_folder
from gateway.configuration import SettingsError, Source, load, misspelt
from gateway.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


class FailedError(click.ClickException):
    """The command could not do its work."""

    exit_code = 1


class ConfigurationError(click.ClickException):
    """The settings are wrong."""

    exit_code = 2


class NotRunningError(click.ClickException):
    """No cluster runs in this home."""

    exit_code = 3

    def __init__(self) -> None:
        super().__init__(f"no cluster is running here; start one with `{started_with('up')}`")


def settings_in_force() -> tuple[Settings, list[Source]]:
    """The settings from the environment and `.env`, and the source of each."""
    env_file = settings_folder() / ".env"
    for hint in misspelt(os.environ, env_file):
        click.echo(f"Hint: {hint}", err=True)
    try:
        return load(os.environ, env_file)
    except SettingsError as error:
        raise ConfigurationError(str(error)) from error


def agree(warning: str, *, flag: str) -> None:
    """Print the warning and ask whether to go on; without a terminal the answer is no. Raises FailedError."""
    if not sys.stdin.isatty():
        raise FailedError(f"{warning} Nothing was changed; to go on without a question, add {flag}.")
    click.echo(warning)
    if not click.confirm("Go on?"):
        raise FailedError("nothing was changed")


def home_option(command: Command) -> Command:
    """Add the option `--home`, the folder of the cluster."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="SEANCE_HOME",
        default=default_root(),
        help="Folder of the cluster's data, logs and state.  "
        f"[default: {'.seance in the checkout' if is_checkout() else default_root()}]",
    )(command)


def servers_in_force(home: Path) -> tuple[Settings, dict[str, str]]:
    """The settings and their origins; what nobody set is as in the running local cluster."""
    settings, sources = settings_in_force()
    if not (home / "state.json").is_file():
        # A container has no local cluster, and not the packages that the next import needs.
        return settings, {source.variable: source.origin for source in sources}
    from cluster.control import local
    from cluster.state.home import Home

    return local.adopt(settings, sources, Home(home.resolve()))
