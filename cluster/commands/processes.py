"""`seance gateway`, `worker` and `migrate`: one process each, as a container runs them."""

import secrets
import socket
from pathlib import Path

import click

from cluster.commands.context import FailedError, home_option, servers_in_force, settings_in_force


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
        redis_url=settings.redis_url,
        keys=settings.keys,
        batch_entries=settings.worker_batch_entries,
        batch_milliseconds=settings.worker_batch_milliseconds,
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        database_timeout_seconds=settings.db_timeout_seconds,
        redis_timeout_seconds=settings.redis_timeout_seconds,
        metrics_host=settings.host,
        metrics_port=settings.worker_metrics_port,
    )
    raise SystemExit(run(config, name))


@click.command()
@click.option("--to", "revision", metavar="REVISION", help="Upgrade to this revision.  [default: the newest]")
@click.option("--down", "downgrade", metavar="REVISION", help="Downgrade to this revision; `base`: remove everything.")
@home_option
def migrate(revision: str | None, downgrade: str | None, home: Path) -> None:
    """Apply the database migrations to DATABASE_URL, or to the running local cluster's database."""
    from cluster import migrate as migrations

    if revision is not None and downgrade is not None:
        raise click.UsageError("--to and --down exclude each other")
    settings, _ = servers_in_force(home)
    try:
        if downgrade is not None:
            migrations.downgrade(settings.database_url, downgrade)
        else:
            migrations.upgrade(settings.database_url, revision or migrations.HEAD)
        click.echo(f"the database is at revision {migrations.current(settings.database_url) or 'base'}")
    except migrations.MigrationError as error:
        raise FailedError(str(error)) from error
