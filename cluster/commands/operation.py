"""`seance check`, `adopt` and `token`, for people who run an installation."""

import asyncio
from pathlib import Path

import click

from cluster.commands.context import FailedError, home_option, servers_in_force


@click.command()
@home_option
def check(home: Path) -> None:
    """Show every setting in force and where it came from; check Redis, Postgres and their set-up.

    Each problem comes with how to mend it. Exit code 2: the configuration is wrong. 1: a check failed.
    """
    from cluster.checks.report import examine, values

    settings, origins = servers_in_force(home)
    rows = values(settings, origins)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for variable, value, origin in rows:
        click.echo(f"{variable:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
    click.echo()
    findings = asyncio.run(examine(settings))
    for finding in findings:
        click.echo(f"{'ok  ' if finding.is_good else 'BAD '} {finding.subject}: {finding.text}")
        if finding.remedy is not None:
            click.echo(f"     mend: {finding.remedy}")
    bad = sum(not finding.is_good for finding in findings)
    if bad:
        raise FailedError(f"{bad} of {len(findings)} checks failed")


@click.command()
@home_option
def adopt(home: Path) -> None:
    """Bind the Redis of REDIS_URL and REDIS_PREFIX to the database of DATABASE_URL, whatever they belonged to.

    For a database that was restored, moved or upgraded, or made anew beside a Redis with data. Gateways and
    workers must be stopped. All data stay; those of the other installation become a part of this one.
    """
    from broker.errors import BrokerError
    from broker.redis.installation import living
    from broker.redis.link import connected
    from cluster import database
    from persistence.errors import PersistenceError
    from persistence.installation import Bond

    settings, _ = servers_in_force(home)

    async def bind() -> str:
        engine = database.engine(settings)
        timeout_seconds = settings.redis_timeout_seconds
        try:
            async with connected(settings.redis_url, timeout_seconds=timeout_seconds, name="seance-adopt") as link:
                if names := await living(link, settings.keys):
                    raise FailedError(f"{', '.join(names)} still use this Redis: stop them, wait 10 s, repeat")
                return await Bond(link, settings.keys, engine).adopt()
        finally:
            await engine.dispose()

    try:
        bound = asyncio.run(bind())
    except (BrokerError, PersistenceError) as error:
        raise FailedError(str(error)) from error
    click.echo(f"Redis (prefix {settings.keys.prefix}) and the database belong to installation {bound} now")
