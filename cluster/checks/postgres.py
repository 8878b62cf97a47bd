"""Checks of Postgres: reachable, the primary, migrated, with enough connections for every process."""

import asyncio
from typing import NamedTuple

from sqlalchemy import text

from cluster import database, migrate
from cluster.checks.finding import Finding
from gateway.settings import Settings
from persistence.errors import PersistenceError, mapped

_LOOK = """
SELECT pg_is_in_recovery(),
       current_setting('server_version'),
       current_setting('server_encoding'),
       current_setting('idle_in_transaction_session_timeout') <> '0',
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""


class Server(NamedTuple):
    """What Postgres reports; `connections` does not count those reserved for its administrator."""

    is_standby: bool
    version: str
    encoding: str
    ends_idle_transactions: bool
    connections: int


async def examine(settings: Settings) -> list[Finding]:
    """All findings about Postgres; the checks change nothing."""
    try:
        server, revision = await asyncio.gather(
            _look(settings),
            migrate.read_revision(settings.database_url, **database.place(settings)),
        )
    except PersistenceError as error:
        remedy = "start the server (`make up` brings its own), or correct DATABASE_URL"
        return [Finding("Postgres", str(error), remedy)]
    return [
        Finding("Postgres", f"answers, {server.version}"),
        role(is_standby=server.is_standby),
        encoding(server.encoding),
        idle_transactions(are_ended=server.ends_idle_transactions),
        connections(server.connections, settings),
        migrations(revision, migrate.head()),
    ]


async def _look(settings: Settings) -> Server:
    engine = database.engine(settings)
    try:
        with mapped():
            async with engine.connect() as connection:
                return Server(*(await connection.execute(text(_LOOK))).one())
    finally:
        await engine.dispose()


def role(*, is_standby: bool) -> Finding:
    """Whether the server accepts writes."""
    if is_standby:
        return Finding("Postgres role", "standby", "let DATABASE_URL lead to the primary: a standby takes no writes")
    return Finding("Postgres role", "primary")


def encoding(found: str) -> Finding:
    """Whether the database can hold every text."""
    if found == "UTF8":
        return Finding("Postgres encoding", found)
    return Finding(
        "Postgres encoding", found, "make the database with `ENCODING 'UTF8'`: this one can't hold every text"
    )


def idle_transactions(*, are_ended: bool) -> Finding:
    """Whether a process that is stopped in the middle of a transaction loses its locks.

    Every direct connection asks for that; a pooler of transactions can't pass it on.
    """
    subject = "Postgres idle transactions"
    if are_ended:
        return Finding(subject, "are ended")
    remedy = "run `ALTER ROLE … SET idle_in_transaction_session_timeout = '5s'` for the role of DATABASE_URL"
    return Finding(subject, "are never ended, so a process that hangs keeps its locks", remedy)


def connections(allowed: int, settings: Settings) -> Finding:
    """Whether Postgres allows as many connections as all processes may open."""
    each = settings.db_pool_size + settings.db_max_overflow
    processes = settings.gateways + settings.workers
    said = (
        f"{allowed} allowed; {processes} processes (GATEWAYS and WORKERS) with {each} each may take {each * processes}"
    )
    if each * processes <= allowed:
        return Finding("Postgres connections", said)
    remedy = f"raise `max_connections`, or lower DB_POOL_SIZE and DB_MAX_OVERFLOW to {allowed // processes} together"
    return Finding("Postgres connections", said, remedy)


def migrations(revision: str | None, head: str | None) -> Finding:
    """Whether the database is at the newest revision."""
    if revision == head:
        return Finding("migrations", f"at the newest revision, {head}")
    return Finding("migrations", f"at {revision or 'none'}, the newest is {head}", "run `seance migrate`")
