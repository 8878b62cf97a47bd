"""The `seance` command."""

import click

from cluster.commands.chat import chat
from cluster.commands.context import FailedError
from cluster.commands.dead import dead
from cluster.commands.lifecycle import clean_data, down, restart, scale, status, up
from cluster.commands.operation import adopt, check
from cluster.commands.processes import gateway, migrate, worker
from cluster.commands.token import token

# What only the extra `cluster` brings; the image of a gateway has none of these packages.
_EXTRA_PACKAGES = frozenset({"rich", "psutil", "prompt_toolkit"})


class Seance(click.Group):
    """The group of all commands; a command that needs a package of the extra `cluster` says so when it is missing."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Raises FailedError instead of ModuleNotFoundError for these packages."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in _EXTRA_PACKAGES:
                raise
            raise FailedError(
                f"this needs the package {error.name}, which the extra `cluster` brings: pip install 'seance[cluster]'"
            ) from error


@click.group(
    cls=Seance,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not running.",
)
@click.version_option(package_name="seance", prog_name="seance")
def main() -> None:
    """Séance: a horizontally scaled gateway for live sessions over WebSocket.

    Settings come from the environment, then from .env in the checkout, or in the working folder where seance was
    installed from a package; `seance check` shows them all.
    """


for command in (
    up,
    down,
    status,
    scale,
    restart,
    gateway,
    worker,
    migrate,
    token,
    check,
    adopt,
    chat,
    dead,
    clean_data,
):
    main.add_command(command)
