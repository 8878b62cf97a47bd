"""`seance gateway`, `worker` and `migrate`: one process each, as a container runs them."""

import secrets
import socket
from pathlib import Path

import click

from cluster.commands.context import FailedError, agree, home_option, servers_in_force, settings_in_force
from cluster.console.counted import counted
from persistence.address import parse


def _default_id() -> str:
    return f"{socket.gethostname()}-{secrets.token_hex(3)}"


@click.command()
@click.option("--id", "gateway_id", help="Its name in logs and in Redis.  [default: host name and random digits]")
def gateway(gateway_id: str | None) -> None:
    """Run one gateway in the foreground, on HOST and PORT. SIGTERM drains it."""
    from gateway.serve import run

    settings, _ = settings_in_force()
    raise SystemExit(run(settings, gateway_id or _default_id()))


@click.command()
@click.option("--id", "worker_id", help="Its name in logs and in Redis.  [default: host name and random digits]")
def worker(worker_id: str | None) -> None:
    """Run one persistence worker in the foreground. SIGTERM lets it finish its batch."""
    from gateway.telemetry import logs
    from persistence.worker import WorkerConfig, run

    settings, _ = settings_in_force()
    name = worker_id or _default_id()
    logs.configure(settings, worker_id=name)
    config = WorkerConfig(
        database_url=settings.database_url,
        database_schema=settings.database_schema,
        database_pooler=settings.database_pooler,
        redis_url=settings.redis_url,
        keys=settings.keys,
        batch_entries=settings.worker_batch_entries,
        batch_milliseconds=settings.worker_batch_milliseconds,
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        database_timeout_seconds=settings.db_timeout_seconds,
        redis_timeout_seconds=settings.redis_timeout_seconds,
        shutdown_seconds=settings.shutdown_timeout_seconds,
        metrics_host=settings.host,
        metrics_port=settings.worker_metrics_port,
    )
    raise SystemExit(run(config, name))


@click.command()
@click.option("--to", "revision", metavar="REVISION", help="Upgrade to this revision.  [default: the newest]")
@click.option("--down", "downgrade", metavar="REVISION", help="Downgrade to this revision; `base`: remove everything.")
@click.option("--yes", "is_agreed", is_flag=True, help="Downgrade without asking.")
@home_option
def migrate(revision: str | None, downgrade: str | None, is_agreed: bool, home: Path) -> None:
    """Apply the database migrations to DATABASE_URL, or to the running local cluster's database."""
    from cluster import database
    from cluster import migrate as migrations

    if revision is not None and downgrade is not None:
        raise click.UsageError("--to and --down exclude each other")
    settings, origins = servers_in_force(home)
    url = settings.database_url
    place = database.place(settings)
    try:
        if downgrade is not None:
            if not is_agreed:
                sessions = migrations.session_count(url, **place)
                agree(_warning(url, origins["DATABASE_URL"], downgrade, sessions), flag="--yes")
            migrations.downgrade(url, downgrade, **place)
        else:
            migrations.upgrade(url, revision or migrations.HEAD, **place)
        click.echo(f"the database is at revision {migrations.current(url, **place) or 'base'}")
    except migrations.MigrationError as error:
        raise FailedError(str(error)) from error


def _warning(url: str, origin: str, revision: str, sessions: int) -> str:
    what = (
        "removes all tables of Séance" if revision == "base" else f"goes back to {revision} and removes what came later"
    )
    held = counted(sessions, "session")
    return f"This {what}, in the database with {held} at {parse(url).shown} (DATABASE_URL: {origin})."
