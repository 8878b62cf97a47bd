"""`seance dead list|retry|drop`: entries that could not be written to Postgres."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cluster.commands.context import FailedError, home_option, servers_in_force
from cluster.console.counted import counted

if TYPE_CHECKING:
    from broker.keys import Keys
    from broker.redis.link import Link

Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def dead() -> None:
    """Look at entries that no worker could write, put them back, or drop them.

    They lie in Redis, in the dead stream of their partition, with the reason. An entry is named PARTITION:ID.
    """


def _chosen(command: Command) -> Command:
    command = click.option("--all", "is_all", is_flag=True, help="All of them.")(command)
    return click.argument("names", nargs=-1, metavar="[PARTITION:ID]...")(command)


@dead.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@home_option
def show(limit: int, home: Path) -> None:
    """List the entries: name, session and reason; message texts are not shown."""
    from broker.streams.dead_letters import listed

    found = _with_redis(home, lambda link, keys: listed(link, keys, limit))
    for entry in found:
        click.echo(f"{entry.name}  session {entry.session_id or '-'}  {entry.reason}")
    if not found:
        click.echo("no dead entries")


@dead.command()
@_chosen
@home_option
def retry(names: tuple[str, ...], is_all: bool, home: Path) -> None:
    """Put entries back into their streams, for the workers to try again."""
    from broker.streams.dead_letters import retry as put_back

    chosen = _names(names, is_all=is_all)
    count = _with_redis(home, lambda link, keys: put_back(link, keys, chosen))
    _say(count, names, "put back")


@dead.command()
@_chosen
@home_option
def drop(names: tuple[str, ...], is_all: bool, home: Path) -> None:
    """Delete entries for good."""
    from broker.streams.dead_letters import drop as delete

    chosen = _names(names, is_all=is_all)
    count = _with_redis(home, lambda link, keys: delete(link, keys, chosen))
    _say(count, names, "dropped")


def _names(names: tuple[str, ...], *, is_all: bool) -> tuple[str, ...] | None:
    """The names, or None for all; one of both has to be said."""
    if is_all == bool(names):
        raise click.UsageError("name the entries, or say --all")
    return None if is_all else names


def _say(count: int, names: tuple[str, ...], done: str) -> None:
    click.echo(f"{counted(count, 'entry', 'entries')} {done}")
    missing = len(set(names)) - count
    if missing > 0:
        raise FailedError(f"not found: {missing} of those names; see `seance dead list`")


def _with_redis(home: Path, work: "Callable[[Link, Keys], Awaitable[Result]]") -> Result:
    """Do the work with the Redis in force."""
    from broker.errors import BrokerError
    from broker.redis.link import connected

    settings, _ = servers_in_force(home)

    async def run() -> Result:
        timeout_seconds = settings.redis_timeout_seconds
        async with connected(settings.redis_url, timeout_seconds=timeout_seconds, name="seance-dead") as link:
            return await work(link, settings.keys)

    try:
        return asyncio.run(run())
    except BrokerError as error:
        raise FailedError(str(error)) from error
