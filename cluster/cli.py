"""The `seance` command."""

import click

from cluster.commands.chat import chat
from cluster.commands.dead import dead
from cluster.commands.lifecycle import clean_data, down, restart, scale, status, up
from cluster.commands.operation import adopt, check, token
from cluster.commands.processes import gateway, migrate, worker


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not running.",
)
@click.version_option(package_name="seance", prog_name="seance")
def main() -> None:
    """Séance: a horizontally scaled gateway for live sessions over WebSocket.

    Settings come from the environment and from .env in the checkout; `seance check` shows them all.
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
